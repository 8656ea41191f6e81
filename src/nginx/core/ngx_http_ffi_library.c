/* SPDX-License-Identifier: BSD-2-Clause */

#include <ngx_config.h>
#include <ngx_core.h>

#include <dlfcn.h>
#include <unistd.h>

#include "ngx_http_ffi_library.h"


/* each keeps its library open */
#define NGX_HTTP_FFI_MAX_EXITS  16


typedef void (*ngx_http_ffi_exit_pt)(int timeout_ms);
typedef void (*ngx_http_ffi_report_pt)(void *tq);
typedef void (*ngx_http_ffi_describe_pt)(void *tsk, int tid);
typedef const char *(*ngx_http_ffi_about_pt)(void);


static ngx_int_t ngx_http_ffi_library_here(const char *name);
static void ngx_http_ffi_remember_exit(void *library);


static ngx_http_ffi_exit_pt
    ngx_http_ffi_exits[NGX_HTTP_FFI_MAX_EXITS];
static ngx_uint_t                ngx_http_ffi_nexits;


void *
ngx_http_ffi_library_open(ngx_str_t *lib, ngx_uint_t is_global,
    u_char *err, size_t *errlen)
{
    int         flags;
    void       *library;
    size_t      room;
    u_char     *last;
    u_char      name[NGX_MAX_PATH];
    ngx_int_t   here;

    room = *errlen;

    if (lib->len == 0) {
        *errlen = ngx_snprintf(err, room, "lib is empty") - err;
        return NULL;
    }

    if (ngx_strlchr(lib->data, lib->data + lib->len, '/')) {

        if (lib->data[0] != '/') {
            *errlen = ngx_snprintf(err, room, "lib must be a name, or an "
                                   "absolute path: \"%V\"", lib)
                      - err;
            return NULL;
        }

        last = ngx_snprintf(name, sizeof(name), "%V%Z", lib);

    } else if (ngx_strlchr(lib->data, lib->data + lib->len,
                           '.'))
    {
        last = ngx_snprintf(name, sizeof(name), "%V%Z", lib);

    } else {
        last = ngx_snprintf(name, sizeof(name), "lib%V.so%Z", lib);
    }

    if (last[-1] != '\0') {
        *errlen = ngx_snprintf(err, room, "lib is too long") - err;
        return NULL;
    }

    here = name[0] != '/' ? ngx_http_ffi_library_here((char *) name) : 0;

    if (here == NGX_ERROR) {
        *errlen = ngx_snprintf(err, room, "no memory") - err;
        return NULL;
    }

    if (here) {
        *errlen = ngx_snprintf(err, room, "%s is not opened from the current "
                               "directory, which an empty entry or \".\" in "
                               "LD_LIBRARY_PATH stands for", name)
                  - err;
        return NULL;
    }

    flags = RTLD_NOW | (is_global ? RTLD_GLOBAL : RTLD_LOCAL);

    library = dlopen((char *) name, flags);
    if (library == NULL) {
        *errlen = ngx_snprintf(err, room, "%s", dlerror()) - err;
    }

    return library;
}


/*
 * Whether the dynamic linker would find a name in the current directory;
 * NGX_ERROR where that cannot be told.
 */
static ngx_int_t
ngx_http_ffi_library_here(const char *name)
{
    char         path[NGX_MAX_PATH];
    void        *self;
    Dl_serinfo   size, *info;
    ngx_int_t    here;
    ngx_uint_t   i;
    const char  *dir;

    here = NGX_ERROR;
    info = NULL;

    self = dlopen(NULL, RTLD_NOW);

    if (self == NULL
        || dlinfo(self, RTLD_DI_SERINFOSIZE, &size) != 0
        || (info = ngx_alloc(size.dls_size, ngx_cycle->log)) == NULL
        || dlinfo(self, RTLD_DI_SERINFOSIZE, info) != 0
        || dlinfo(self, RTLD_DI_SERINFO, info) != 0)
    {
        goto close;
    }

    here = 0;

    for (i = 0; i < info->dls_cnt; i++) {
        dir = info->dls_serpath[i].dls_name;

        if (ngx_strcmp(dir, ".") == 0 && access("glibc-hwcaps", F_OK) == 0) {
            here = 1;
            break;
        }

        (void) ngx_snprintf((u_char *) path, sizeof(path), "%s/%s%Z", dir,
                            name);

        if (access(path, F_OK) == 0) {
            here = ngx_strcmp(dir, ".") == 0;
            break;
        }
    }

close:

    if (info) {
        ngx_free(info);
    }

    if (self) {
        dlclose(self);
    }

    return here;
}


ngx_http_ffi_init_pt
ngx_http_ffi_library_init(void *library, u_char *err, size_t *errlen)
{
    ngx_http_ffi_init_pt  init;

    init = (ngx_http_ffi_init_pt) dlsym(library, "libffi_init");

    if (init == NULL) {
        *errlen = ngx_snprintf(err, *errlen, "%s", dlerror()) - err;
        return NULL;
    }

    ngx_http_ffi_remember_exit(library);

    return init;
}


ngx_uint_t
ngx_http_ffi_library_async(void *library)
{
    return dlsym(library, "resty_ffi_async") != NULL;
}


void
ngx_http_ffi_library_report(void *library, void *tq)
{
    ngx_http_ffi_report_pt  report;

    report = (ngx_http_ffi_report_pt) dlsym(library, "resty_ffi_report");
    if (report) {
        report(tq);
    }
}


ngx_int_t
ngx_http_ffi_library_describe(void *library, void *tsk, int tid)
{
    ngx_http_ffi_describe_pt  describe;

    describe = (ngx_http_ffi_describe_pt) dlsym(library,
                                                "resty_ffi_describe");
    if (describe == NULL) {
        return NGX_DECLINED;
    }

    describe(tsk, tid);

    return NGX_OK;
}


const char *
ngx_http_ffi_library_about(void *library)
{
    ngx_http_ffi_about_pt  about;

    about = (ngx_http_ffi_about_pt) dlsym(library, "resty_ffi_about");

    return about ? about() : NULL;
}


void
ngx_http_ffi_library_pin(void)
{
    Dl_info  info;

    if (dladdr((void *) ngx_http_ffi_library_pin, &info)) {
        (void) dlopen(info.dli_fname, RTLD_NOW|RTLD_NOLOAD|RTLD_NODELETE);
    }
}


static void
ngx_http_ffi_remember_exit(void *library)
{
    Dl_info               info;
    ngx_uint_t            i;
    ngx_http_ffi_exit_pt  leave;

    leave = (ngx_http_ffi_exit_pt) dlsym(library, "resty_ffi_exit");

    if (leave == NULL
        || ngx_http_ffi_nexits == NGX_HTTP_FFI_MAX_EXITS)
    {
        return;
    }

    for (i = 0; i < ngx_http_ffi_nexits; i++) {
        if (ngx_http_ffi_exits[i] == leave) {
            return;
        }
    }

    /* one more reference, never given back */

    if (dladdr((void *) leave, &info)
        && dlopen(info.dli_fname, RTLD_NOW|RTLD_NOLOAD))
    {
        ngx_http_ffi_exits[ngx_http_ffi_nexits++] = leave;
    }
}


void
ngx_http_ffi_libraries_exit(ngx_msec_t ms)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_http_ffi_nexits; i++) {
        ngx_http_ffi_exits[i]((int) ngx_min(ms, NGX_MAX_INT32_VALUE));
    }
}
