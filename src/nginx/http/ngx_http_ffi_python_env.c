/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

#include "ngx_http_ffi_python_env.h"


#define NGX_HTTP_FFI_PYTHON_MAX_FILE  1048576


static ngx_str_t *ngx_http_ffi_python_env_find(ngx_core_conf_t *ccf,
    const char *name);
static ngx_int_t ngx_http_ffi_python_env_line(ngx_conf_t *cf, ngx_str_t *line);
static ngx_int_t ngx_http_ffi_python_env_load(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text);


ngx_uint_t
ngx_http_ffi_python_env_name(ngx_str_t *name)
{
    u_char  *p;

    for (p = name->data; p < name->data + name->len; p++) {
        if (*p <= ' ' || *p == '=' || *p == 0x7f) {
            return 0;
        }
    }

    return name->len != 0;
}


ngx_int_t
ngx_http_ffi_python_env_set(ngx_cycle_t *cycle, const char *name,
    ngx_str_t *value)
{
    u_char           *p;
    size_t            len;
    ngx_str_t        *var;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    var = ngx_http_ffi_python_env_find(ccf, name);

    if (var == NULL) {
        var = ngx_array_push(&ccf->env);
        if (var == NULL) {
            return NGX_ERROR;
        }
    }

    len = ngx_strlen(name);

    p = ngx_pnalloc(cycle->pool, len + 1 + value->len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    /* nginx's own length of one is that of its name */

    var->data = p;
    var->len = len;

    (void) ngx_sprintf(p, "%s=%V%Z", name, value);

    return NGX_OK;
}


/* NULL where no directive has named it */
static ngx_str_t *
ngx_http_ffi_python_env_find(ngx_core_conf_t *ccf, const char *name)
{
    size_t       len;
    ngx_str_t   *var;
    ngx_uint_t   i;

    len = ngx_strlen(name);
    var = ccf->env.elts;

    for (i = 0; i < ccf->env.nelts; i++) {
        if (var[i].len >= len
            && ngx_strncmp(var[i].data, name, len) == 0
            && (var[i].data[len] == '\0' || var[i].data[len] == '='))
        {
            return &var[i];
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_ffi_python_env_home(ngx_cycle_t *cycle)
{
    uid_t             uid;
    ngx_str_t        *var, home;
    struct passwd    *user;
    ngx_core_conf_t  *ccf;

    static const char  name[] = "HOME";

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    var = ngx_http_ffi_python_env_find(ccf, name);

    if (var && (var->data[var->len] == '=' || getenv(name))) {
        return NGX_OK;
    }

    uid = geteuid();

    if (uid == 0) {
        uid = (uid_t) ccf->user;
    }

    user = getpwuid(uid);

    if (user == NULL || user->pw_dir == NULL || *user->pw_dir == '\0') {
        return NGX_OK;
    }

    home.data = (u_char *) user->pw_dir;
    home.len = ngx_strlen(home.data);

    return ngx_http_ffi_python_env_set(cycle, name, &home);
}


ngx_int_t
ngx_http_ffi_python_env_read(ngx_conf_t *cf, ngx_str_t *file)
{
    u_char      *p, *end, *last;
    ngx_str_t    text, line;
    ngx_uint_t   number;

    /* editors put it before UTF-8 */
    static const char  mark[] = "\xEF\xBB\xBF";

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK
        || ngx_http_ffi_python_env_load(cf, file, &text) != NGX_OK)
    {
        return NGX_ERROR;
    }

    p = text.data;
    last = p + text.len;
    number = 1;

    if (text.len >= sizeof(mark) - 1
        && ngx_strncmp(p, mark, sizeof(mark) - 1) == 0)
    {
        p += sizeof(mark) - 1;
    }

    for ( /* void */ ; p < last; p = end + 1, number++) {

        end = ngx_strlchr(p, last, '\n');
        if (end == NULL) {
            end = last;
        }

        line.data = p;
        line.len = end - p;

        switch (ngx_http_ffi_python_env_line(cf, &line)) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" has no \"NAME=value\" in line %ui",
                               file, number);
            return NGX_ERROR;

        default:
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_ffi_python_env_line(ngx_conf_t *cf, ngx_str_t *line)
{
    u_char     *p, *last;
    ngx_str_t   name, value;

    static const char  export[] = "export ";

    p = line->data;
    last = p + line->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last
           && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r'))
    {
        last--;
    }

    if (p == last || *p == '#') {
        return NGX_OK;
    }

    if ((size_t) (last - p) > sizeof(export) - 1
        && ngx_strncmp(p, export, sizeof(export) - 1) == 0)
    {
        p += sizeof(export) - 1;

        while (p < last && (*p == ' ' || *p == '\t')) {
            p++;
        }
    }

    name.data = p;
    value.data = ngx_strlchr(p, last, '=');

    if (value.data == NULL || ngx_strlchr(p, last, '\0')) {
        return NGX_DECLINED;
    }

    name.len = value.data - p;
    value.data++;
    value.len = last - value.data;

    if (!ngx_http_ffi_python_env_name(&name)) {
        return NGX_DECLINED;
    }

    if (value.len > 1 && (*value.data == '"' || *value.data == '\'')
        && last[-1] == *value.data)
    {
        value.data++;
        value.len -= 2;
    }

    name.data[name.len] = '\0';

    return ngx_http_ffi_python_env_set(cf->cycle, (char *) name.data, &value);
}


/* all of a file */
static ngx_int_t
ngx_http_ffi_python_env_load(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *text)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    /* a FIFO would hold up nginx */

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_ERROR;
    }

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (!ngx_is_file(&fi)
        || ngx_file_size(&fi) > NGX_HTTP_FFI_PYTHON_MAX_FILE)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is no file of at most 1 MiB", name);
        goto done;
    }

    text->data = ngx_pnalloc(cf->pool, (size_t) ngx_file_size(&fi) + 1);
    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, text->data, (size_t) ngx_file_size(&fi));

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", name);
        goto done;
    }

    text->len = n;
    rc = NGX_OK;

done:

    (void) ngx_close_file(fd);

    return rc;
}


ngx_int_t
ngx_http_ffi_python_join(ngx_conf_t *cf, ngx_array_t *paths,
    ngx_str_t *joined)
{
    u_char      *p;
    size_t       size;
    ngx_str_t   *path;
    ngx_uint_t   i;

    path = paths->elts;
    size = 0;

    for (i = 0; i < paths->nelts; i++) {
        size += path[i].len + 1;
    }

    p = ngx_pnalloc(cf->pool, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    joined->data = p;

    for (i = 0; i < paths->nelts; i++) {
        p = ngx_cpymem(p, path[i].data, path[i].len);
        *p++ = ':';
    }

    joined->len = size - 1;

    return NGX_OK;
}
