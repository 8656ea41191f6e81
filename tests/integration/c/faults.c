/* SPDX-License-Identifier: BSD-2-Clause */

/*
 * Preloaded into nginx: makes what allocates fail, as it would without
 * memory, where the module or the Python loader has called it.  Their
 * imports are replaced when nginx opens them.  faults_arm(n) is for LuaJIT:
 * the n-th call from now on fails; with -1, the next one from a place where
 * none has failed so far.  FAULTS_ARM=n arms from the start.  Each failure is
 * a line "library function return-address" in the file FAULTS_LOG.
 *
 * faults_lua(n), a function of Lua, does the same to LuaJIT's own objects; 0
 * ends that.  It returns how many have failed since it was called last.  What
 * grows does not fail: LuaJIT before 2024 writes beyond a stack that cannot
 * (LuaJIT/LuaJIT#1152).
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* of integers and pointers only; more than anyone has are passed on */
typedef long (*function_t)(long, long, long, long, long, long, long, long,
    long, long, long, long);

typedef struct {
    const char  *name;
    void        *replacement;
} import_t;

typedef void *(*lua_alloc_t)(void *data, void *block, size_t old, size_t size);

#define CALL(name, L, a, b)                                                   \
    original(name)((long) (L), (long) (a), (long) (b), 0, 0, 0, 0, 0, 0, 0,   \
                   0, 0)

static atomic_int          countdown, failures;
static long                lua_countdown;
static int                 lua_failures;
static lua_alloc_t         lua_alloc;
static void               *lua_data;
static char               *log_name;
static _Thread_local bool  failed_dl;


__attribute__((constructor))
static void
begin(void)
{
    const char  *n = getenv("FAULTS_ARM");
    const char  *file;

    countdown = n ? atoi(n) : 0;

    file = getenv("FAULTS_LOG");
    if (file) {
        log_name = strdup(file);    /* nginx writes over its own */
    }
}


void
faults_arm(int n)
{
    failures = 0;
    countdown = n;
}


int
faults_failures(void)
{
    return failures;
}


int
faults_disarm(void)
{
    countdown = 0;
    return atomic_exchange(&failures, 0);
}


static bool
logged(const char *line)
{
    int          fd = open(log_name, O_RDONLY|O_CLOEXEC);
    bool         found;
    char        *text;
    ssize_t      n;
    struct stat  st;

    if (fstat(fd, &st) == -1) {
        abort();
    }

    text = malloc((size_t) st.st_size + 1);
    n = text ? read(fd, text, (size_t) st.st_size) : -1;

    if (n == -1) {
        abort();
    }

    close(fd);
    text[n] = '\0';
    found = strstr(text, line) != NULL;
    free(text);

    return found;
}


static bool
fails(const char *name, void *caller)
{
    int      fd, n = countdown;
    char     line[512];
    Dl_info  info;

    while (n > 0 && !atomic_compare_exchange_weak(&countdown, &n, n - 1)) {
        /* void */
    }

    if ((n != 1 && n != -1) || !dladdr(caller, &info)) {
        return false;
    }

    snprintf(line, sizeof(line), "%s %s %#lx\n", info.dli_fname, name,
             (long) caller - (long) info.dli_fbase);

    if (n == -1
        && (logged(line) || !atomic_compare_exchange_strong(&countdown, &n, 0)))
    {
        return false;
    }

    /* threads have tables of descriptors of their own */

    fd = open(log_name, O_WRONLY|O_APPEND|O_CLOEXEC);

    if (fd == -1 || write(fd, line, strlen(line)) == -1) {
        abort();
    }

    close(fd);

    failures++;

    return true;
}


static function_t
original(const char *name)
{
    void  *f = dlsym(RTLD_DEFAULT, name);

    if (f == NULL) {
        abort();
    }

    return (function_t) f;
}


static void *
alloc_lua(void *data, void *block, size_t old, size_t size)
{
    if (block == NULL && lua_countdown && --lua_countdown == 0) {
        lua_failures++;
        return NULL;
    }

    return lua_alloc(data, block, old, size);
}


__attribute__((visibility("default")))
int
faults_lua(void *L)
{
    int   failed = lua_failures;
    long  n = CALL("luaL_checkinteger", L, 1, 0);

    if (lua_alloc == NULL) {
        lua_alloc = (lua_alloc_t) CALL("lua_getallocf", L, &lua_data, 0);
        (void) CALL("lua_setallocf", L, alloc_lua, lua_data);
    }

    (void) CALL("lua_pushinteger", L, failed, 0);

    lua_failures = 0;
    lua_countdown = n;

    return 1;
}


/* what the function returns for a failure, and what else it does then */
#define REPLACE(name, failure, besides)                                       \
static long                                                                   \
no_##name(long a, long b, long c, long d, long e, long f, long g, long h,     \
    long i, long j, long k, long l)                                           \
{                                                                             \
    static _Atomic(function_t)  real;                                         \
                                                                              \
    if (fails(#name, __builtin_return_address(0))) {                          \
        besides;                                                              \
        return failure;                                                       \
    }                                                                         \
                                                                              \
    if (real == NULL) {                                                       \
        real = original(#name);                                               \
    }                                                                         \
                                                                              \
    return real(a, b, c, d, e, f, g, h, i, j, k, l);                          \
}

#define OF_LIBC(X)                                                            \
    X(malloc, 0, errno = ENOMEM)                                              \
    X(calloc, 0, errno = ENOMEM)                                              \
    X(realloc, 0, errno = ENOMEM)                                             \
    X(eventfd, -1, errno = ENOMEM)                                            \
    X(recvmsg, -1, errno = EMFILE)                                            \
    X(sendmsg, -1, errno = ENOBUFS)                                           \
    X(socketpair, -1, errno = EMFILE)                                         \
    X(dlinfo, -1, failed_dl = true)                                           \
    X(fopen, 0, errno = EMFILE)                                               \
    X(on_exit, -1, (void) 0)                                                  \
    X(opendir, 0, errno = EMFILE)                                             \
    X(pthread_attr_init, ENOMEM, (void) 0)                                    \
    X(pthread_condattr_init, ENOMEM, (void) 0)                                \
    X(pthread_create, EAGAIN, (void) 0)                                       \
    X(pthread_key_create, EAGAIN, (void) 0)                                   \
    X(pthread_setspecific, ENOMEM, (void) 0)                                  \
    X(__register_atfork, ENOMEM, (void) 0)

#define OF_NGINX(X)                                                           \
    X(ngx_alloc, 0, errno = ENOMEM)                                           \
    X(ngx_calloc, 0, errno = ENOMEM)                                          \
    X(ngx_alloc_chain_link, 0, errno = ENOMEM)                                \
    X(ngx_palloc, 0, errno = ENOMEM)                                          \
    X(ngx_pcalloc, 0, errno = ENOMEM)                                         \
    X(ngx_pnalloc, 0, errno = ENOMEM)                                         \
    X(ngx_create_pool, 0, errno = ENOMEM)                                     \
    X(ngx_create_temp_buf, 0, errno = ENOMEM)                                 \
    X(ngx_array_create, 0, errno = ENOMEM)                                    \
    X(ngx_array_push, 0, errno = ENOMEM)                                      \
    X(ngx_list_push, 0, errno = ENOMEM)                                       \
    X(ngx_get_connection, 0, (void) 0)                                        \
    X(ngx_http_cleanup_add, 0, (void) 0)                                      \
    X(ngx_pool_cleanup_add, 0, (void) 0)                                      \
    X(ngx_shared_memory_add, 0, (void) 0)                                     \
    X(ngx_slab_calloc, 0, (void) 0)                                           \
    X(ngx_slab_calloc_locked, 0, (void) 0)                                    \
    X(ngx_http_lua_add_package_preload, -1, (void) 0)                         \
    X(ngx_http_lua_ffi_sema_new, -1, (void) 0)

#define SET  (void) original("PyErr_NoMemory")(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
                                               0, 0)

/* a: of an object, which is dropped then; b: another one */
#define DROP  SET;                                                            \
    (void) original("Py_DecRef")(*(long *) a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   \
                                 0);                                          \
    *(long *) a = 0;                                                          \
    (void) original("Py_DecRef")(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)

/* _PyObject_CallMethod_SizeT: what PyObject_CallMethod is before 3.13 */
#define OF_PYTHON(X)                                                          \
    X(PyBytes_ConcatAndDel, 0, DROP)                                          \
    X(PyBytes_FromString, 0, SET)                                             \
    X(PyBytes_FromStringAndSize, 0, SET)                                      \
    X(PyContextVar_Set, 0, SET)                                               \
    X(PyContext_Copy, 0, SET)                                                 \
    X(PyContext_CopyCurrent, 0, SET)                                          \
    X(PyContext_Enter, -1, SET)                                               \
    X(PyDict_Copy, 0, SET)                                                    \
    X(PyDict_GetItemWithError, 0, SET)                                        \
    X(PyDict_New, 0, SET)                                                     \
    X(PyDict_SetItem, -1, SET)                                                \
    X(PyImport_AppendInittab, -1, (void) 0)                                   \
    X(PyImport_ExecCodeModule, 0, SET)                                        \
    X(PyImport_ImportModule, 0, SET)                                          \
    X(PyList_Append, -1, SET)                                                 \
    X(PyList_AsTuple, 0, SET)                                                 \
    X(PyList_New, 0, SET)                                                     \
    X(PyLong_FromUnsignedLong, 0, SET)                                        \
    X(PyLong_FromVoidPtr, 0, SET)                                             \
    X(PyMemoryView_FromObject, 0, SET)                                        \
    X(PyModule_AddType, -1, SET)                                              \
    X(PyObject_Call, 0, SET)                                                  \
    X(PyObject_CallFunctionObjArgs, 0, SET)                                   \
    X(PyObject_CallMethod, 0, SET)                                            \
    X(PyObject_CallNoArgs, 0, SET)                                            \
    X(PyObject_CallOneArg, 0, SET)                                            \
    X(PyObject_GetAttrString, 0, SET)                                         \
    X(PyObject_GetBuffer, -1, SET)                                            \
    X(PyObject_VectorcallMethod, 0, SET)                                      \
    X(PySequence_List, 0, SET)                                                \
    X(PySequence_Tuple, 0, SET)                                               \
    X(PyTuple_New, 0, SET)                                                    \
    X(PyTuple_Pack, 0, SET)                                                   \
    X(PyType_FromSpec, 0, SET)                                                \
    X(PyUnicode_AsEncodedString, 0, SET)                                      \
    X(PyUnicode_AsUTF8, 0, SET)                                               \
    X(PyUnicode_AsUTF8AndSize, 0, SET)                                        \
    X(PyUnicode_DecodeFSDefault, 0, SET)                                      \
    X(PyUnicode_DecodeLatin1, 0, SET)                                         \
    X(PyUnicode_DecodeUTF8, 0, SET)                                           \
    X(PyUnicode_FromFormat, 0, SET)                                           \
    X(PyUnicode_InternFromString, 0, SET)                                     \
    X(PyUnicode_New, 0, SET)                                                  \
    X(Py_CompileStringExFlags, 0, SET)                                        \
    X(_PyObject_CallFunction_SizeT, 0, SET)                                   \
    X(_PyObject_CallMethod_SizeT, 0, SET)

OF_LIBC(REPLACE)
OF_NGINX(REPLACE)
OF_PYTHON(REPLACE)


static char *
no_dlerror(void)
{
    static char  text[] = "no memory, says a test";

    if (failed_dl) {
        failed_dl = false;
        return text;
    }

    return dlerror();
}


static void *no_dlopen(const char *name, int flags);

#define IMPORT(name, failure, besides)  { #name, (void *) no_##name },

static const import_t  imports[] = {
    OF_LIBC(IMPORT)
    OF_NGINX(IMPORT)
    OF_PYTHON(IMPORT)
    { "dlopen", (void *) no_dlopen },
    { "dlerror", (void *) no_dlerror },
    { NULL, NULL }
};


static void
replace(void **slot, const char *name)
{
    long             size = sysconf(_SC_PAGESIZE);
    char            *page = (char *) ((long) slot & -size);
    const import_t  *import;

    for (import = imports; import->name; import++) {
        if (strcmp(import->name, name) == 0) {

            /* it may be read-only; the rest of the page is not harmed */
            if (mprotect(page, (size_t) size, PROT_READ|PROT_WRITE) != 0) {
                abort();
            }

            *slot = import->replacement;
        }
    }
}


static void
replace_imports(const struct link_map *map)
{
    size_t             i, n[2] = { 0, 0 };
    const char        *names = NULL;
    const ElfW(Dyn)   *d;
    const ElfW(Sym)   *symbols = NULL;
    const ElfW(Rela)  *relocations[2] = { NULL, NULL };

    for (d = map->l_ld; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) {
        case DT_STRTAB: names = (void *) d->d_un.d_ptr; break;
        case DT_SYMTAB: symbols = (void *) d->d_un.d_ptr; break;
        case DT_JMPREL: relocations[0] = (void *) d->d_un.d_ptr; break;
        case DT_PLTRELSZ: n[0] = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELA: relocations[1] = (void *) d->d_un.d_ptr; break;
        case DT_RELASZ: n[1] = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        }
    }

    for (int kind = 0; kind < 2; kind++) {
        for (i = 0; i < n[kind]; i++) {
            const ElfW(Rela)  *r = &relocations[kind][i];
            const ElfW(Sym)   *symbol = &symbols[ELF64_R_SYM(r->r_info)];

            replace((void **) (map->l_addr + r->r_offset),
                    names + symbol->st_name);
        }
    }
}


static void
opened(void *library)
{
    struct link_map  *map;

    if (library && dlinfo(library, RTLD_DI_LINKMAP, &map) == 0
        && (strstr(map->l_name, "/ngx_http_lua_ffi_module.so")
            || strstr(map->l_name, "/libffi_python3.so")))
    {
        replace_imports(map);
    }
}


/* in nginx's place, which opens the module by it */
__attribute__((visibility("default")))
void *
dlopen(const char *name, int flags)
{
    void  *library;
    void  *(*real)(const char *name, int flags);

    real = (void *(*)(const char *, int)) dlsym(RTLD_NEXT, "dlopen");
    library = real(name, flags);
    opened(library);

    return library;
}


static void *
no_dlopen(const char *name, int flags)
{
    if (fails("dlopen", __builtin_return_address(0))) {
        failed_dl = true;
        return NULL;
    }

    return dlopen(name, flags);
}
