/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "ngx_http_ffi_python_target.h"


/* the loader, and the callable of Python that serves applications */
#define NGX_HTTP_FFI_PYTHON_LIB       "ffi_python3"
#define NGX_HTTP_FFI_PYTHON_FILE      "/../lib/libffi_python3.so"
#define NGX_HTTP_FFI_PYTHON_CALLABLE  "resty_ffi.web,application,"


static const char *ngx_http_ffi_python_parse_app(
    ngx_http_ffi_python_target_t *target);
static ngx_uint_t ngx_http_ffi_python_is_name(u_char *p, u_char *last);
static ngx_uint_t ngx_http_ffi_python_is_root_path(ngx_str_t *path);
static ngx_uint_t ngx_http_ffi_python_same(ngx_str_t *one, ngx_str_t *two);
static ngx_uint_t ngx_http_ffi_python_is_in(ngx_str_t *module,
    ngx_str_t *package);
static ngx_int_t ngx_http_ffi_python_cfg(ngx_conf_t *cf,
    ngx_http_ffi_python_target_t *target, ngx_str_t *cfg);
static ngx_int_t ngx_http_ffi_python_lib(ngx_conf_t *cf, ngx_str_t *lib);


const char *
ngx_http_ffi_python_target_parse(ngx_conf_t *cf,
    ngx_http_ffi_python_target_t *target, ngx_str_t *root_path)
{
    size_t       skip;
    ngx_str_t   *value, *param, name;
    ngx_uint_t   i;
    const char  *err;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        if (ngx_http_script_variables_count(&value[i])) {
            return "takes no variables";
        }
    }

    target->app = value[1];
    ngx_str_null(&name);
    ngx_str_null(root_path);

    err = ngx_http_ffi_python_parse_app(target);
    if (err) {
        return err;
    }

    for (i = 2; i < cf->args->nelts; i++) {

        param = NULL;
        skip = 0;

        if (ngx_strcmp(value[i].data, "asgi") == 0
            || ngx_strcmp(value[i].data, "wsgi") == 0)
        {
            param = &target->interface;

        } else if (ngx_strncmp(value[i].data, "name=", 5) == 0
                   && value[i].len > 5)
        {
            param = &name;
            skip = 5;

        } else if (ngx_strncmp(value[i].data, "root_path=", 10) == 0) {
            param = root_path;
            skip = 10;
        }

        if (param == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (param->data) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }

        param->data = value[i].data + skip;
        param->len = value[i].len - skip;
    }

    if (!ngx_http_ffi_python_is_root_path(root_path)) {
        return "has a root_path that does not begin with \"/\", or ends with "
               "one";
    }

    if (name.len) {
        target->pass.name = name;
    }

    return NULL;
}


/* "[/dir/]module:attr", with "()" behind what makes one */
static const char *
ngx_http_ffi_python_parse_app(ngx_http_ffi_python_target_t *target)
{
    u_char  *p, *last, *slash, *colon;

    static const char  malformed[] =
        "takes \"[/directory/]module:attribute\"";

    p = target->app.data;
    last = p + target->app.len;
    slash = NULL;
    colon = NULL;

    for ( /* void */ ; p < last; p++) {
        if (*p == '/') {
            slash = p;
            colon = NULL;

        } else if (*p == ':' && colon == NULL) {
            colon = p;
        }
    }

    p = target->app.data;

    if (colon == NULL || (slash && *p != '/')) {
        return malformed;
    }

    if (slash) {
        target->directory.data = p;
        target->directory.len = slash + 1 - p;
        p = slash + 1;
    }

    target->module.data = p;
    target->module.len = colon - p;
    target->pass.name.data = p;
    target->pass.name.len = last - p;

    if (last - colon > 2 && last[-2] == '(' && last[-1] == ')') {
        last -= 2;
    }

    if (!ngx_http_ffi_python_is_name(p, colon)
        || !ngx_http_ffi_python_is_name(colon + 1, last))
    {
        return malformed;
    }

    return NULL;
}


/* names with dots between them, of ASCII or anything beyond */
static ngx_uint_t
ngx_http_ffi_python_is_name(u_char *p, u_char *last)
{
    u_char      c;
    ngx_uint_t  begins;

    begins = 1;

    for ( /* void */ ; p < last; p++) {
        c = *p;

        if (c == '.' && !begins) {
            begins = 1;
            continue;
        }

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'
            || c >= 0x80 || (c >= '0' && c <= '9' && !begins))
        {
            begins = 0;
            continue;
        }

        return 0;
    }

    return !begins;
}


static ngx_uint_t
ngx_http_ffi_python_is_root_path(ngx_str_t *path)
{
    return path->len == 0
           || (path->len > 1 && path->data[0] == '/'
               && path->data[path->len - 1] != '/');
}


static ngx_uint_t
ngx_http_ffi_python_same(ngx_str_t *one, ngx_str_t *two)
{
    /* an empty one may have no data */

    return one->len == two->len
           && (one->len == 0
               || ngx_strncmp(one->data, two->data, one->len) == 0);
}


ngx_uint_t
ngx_http_ffi_python_target_is(ngx_http_ffi_python_target_t *one,
    ngx_http_ffi_python_target_t *two)
{
    return ngx_http_ffi_python_same(&one->app, &two->app)
           && ngx_http_ffi_python_same(&one->interface, &two->interface)
           && ngx_http_ffi_python_same(&one->pass.name, &two->pass.name);
}


ngx_uint_t
ngx_http_ffi_python_target_shadows(ngx_http_ffi_python_target_t *one,
    ngx_http_ffi_python_target_t *two)
{
    return !ngx_http_ffi_python_same(&one->directory, &two->directory)
           && (ngx_http_ffi_python_is_in(&one->module, &two->module)
               || ngx_http_ffi_python_is_in(&two->module, &one->module));
}


/* a module is in itself, too */
static ngx_uint_t
ngx_http_ffi_python_is_in(ngx_str_t *module, ngx_str_t *package)
{
    return module->len >= package->len
           && ngx_strncmp(module->data, package->data, package->len) == 0
           && (module->len == package->len
               || module->data[package->len] == '.');
}


ngx_int_t
ngx_http_ffi_python_target_init(ngx_conf_t *cf,
    ngx_http_ffi_python_target_t *target)
{
    ngx_str_t  name, lib, cfg;

    if (ngx_http_ffi_python_lib(cf, &lib) != NGX_OK
        || ngx_http_ffi_python_cfg(cf, target, &cfg) != NGX_OK)
    {
        return NGX_ERROR;
    }

    name = target->pass.name;
    ngx_http_ffi_target_init(&target->pass, &lib, &cfg);
    target->pass.name = name;

    /* an application of WSGI wants it, or what may turn out as one */

    target->pass.request_buffering =
        target->interface.len == 0 || target->interface.data[0] == 'w';

    return NGX_OK;
}


/* a query string, as _target.py reads it */
static ngx_int_t
ngx_http_ffi_python_cfg(ngx_conf_t *cf, ngx_http_ffi_python_target_t *target,
    ngx_str_t *cfg)
{
    u_char      *p;
    size_t       size;
    ngx_uint_t   i;

    struct {
        const char  *key;
        ngx_str_t   *value;
    } options[] = {
        { NGX_HTTP_FFI_PYTHON_CALLABLE "app=", &target->app },
        { "&interface=", &target->interface },
        { "&name=", &target->pass.name }
    };

    size = 1;

    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        size += ngx_strlen(options[i].key) + 3 * options[i].value->len;
    }

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    cfg->data = p;

    for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        p = ngx_cpymem(p, options[i].key, ngx_strlen(options[i].key));
        p = (u_char *) ngx_escape_uri(p, options[i].value->data,
                                      options[i].value->len,
                                      NGX_ESCAPE_URI_COMPONENT);
    }

    *p = '\0';
    cfg->len = p - cfg->data;

    return NGX_OK;
}


/*
 * The loader beside this module's folder, as it has been built; else the one
 * that the dynamic linker finds.
 */
static ngx_int_t
ngx_http_ffi_python_lib(ngx_conf_t *cf, ngx_str_t *lib)
{
    char     *slash;
    char      file[PATH_MAX + sizeof(NGX_HTTP_FFI_PYTHON_FILE)];
    Dl_info   info;

    ngx_str_set(lib, NGX_HTTP_FFI_PYTHON_LIB);

    if (dladdr((void *) ngx_http_ffi_python_target_init, &info) == 0
        || realpath(info.dli_fname, file) == NULL
        || (slash = strrchr(file, '/')) == NULL)
    {
        return NGX_OK;
    }

    ngx_memcpy(slash, NGX_HTTP_FFI_PYTHON_FILE,
               sizeof(NGX_HTTP_FFI_PYTHON_FILE));

    if (access(file, R_OK) == -1) {
        return NGX_OK;
    }

    lib->len = ngx_strlen(file);
    lib->data = ngx_pnalloc(cf->pool, lib->len + 1);
    if (lib->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(lib->data, file, lib->len + 1);

    return NGX_OK;
}
