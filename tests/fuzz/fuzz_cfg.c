/*
 * src/loader/cfg.c against the same grammar stated otherwise: by offsets,
 * from the left, into a text that stays whole.
 */

#include <stdbool.h>
#include <string.h>

#include "fuzz.h"

#include "../../src/loader/cfg.h"


typedef struct {
    size_t  begin;
    size_t  end;
} part_t;

typedef struct {
    bool    valid;
    bool    fresh;
    bool    has_directory;
    bool    has_config;
    part_t  directory;
    part_t  module;
    part_t  function;
    part_t  config;
} parts_t;


static size_t
up_to(const char *text, size_t begin, size_t end, char c)
{
    while (begin < end && text[begin] != c) {
        begin++;
    }

    return begin;
}


static void
state_grammar(parts_t *p, const char *text, size_t size)
{
    size_t  i, first, second;

    first = up_to(text, 0, size, ',');
    second = first < size ? up_to(text, first + 1, size, ',') : size;

    p->function = (part_t) { first + 1, second };
    p->has_config = second < size;
    p->config = (part_t) { second + 1, size };

    p->module = (part_t) { 0, first };

    for (i = 0; i < first; i++) {
        if (text[i] == '/') {
            p->has_directory = true;
            p->directory = (part_t) { 0, i };
            p->module.begin = i + 1;
        }
    }

    while (p->directory.end && text[p->directory.end - 1] == '/') {
        p->directory.end--;
    }

    if (p->has_directory && p->directory.end == 0) {
        p->directory.end = 1;
    }

    p->fresh = p->module.end > p->module.begin
               && text[p->module.end - 1] == '?';
    p->module.end -= p->fresh;

    p->valid = first < size && p->module.end > p->module.begin
               && p->function.end > p->function.begin;
}


static void
require_part(const char *got, bool there, part_t part, const char *text,
    const char *buf)
{
    size_t  len;

    require((got != NULL) == there);

    if (got == NULL) {
        return;
    }

    len = part.end - part.begin;

    require(strlen(got) == len);
    require(memcmp(got, text + part.begin, len) == 0);

    /* "/" alone has no room in the text */
    require(got == buf + part.begin || (len == 1 && *got == '/'));
}


static void
require_error(const char *error)
{
    require(error && *error && strlen(error) < 100);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char        *buf, *text;
    cfg_t        cfg;
    parts_t      parts = { 0 };
    const char  *error;

    require_error(cfg_parse(&cfg, NULL));

    size = size ? strnlen((const char *) data, size) : 0;

    text = malloc(size + 1);
    buf = malloc(size + 1);
    require(text && buf);

    if (size) {
        memcpy(text, data, size);
    }

    text[size] = '\0';
    memcpy(buf, text, size + 1);

    state_grammar(&parts, text, size);

    memset(&cfg, 0xa5, sizeof(cfg_t));
    error = cfg_parse(&cfg, buf);

    require((error == NULL) == parts.valid);

    if (error) {
        require_error(error);

    } else {
        require(cfg.fresh == parts.fresh);
        require_part(cfg.directory, parts.has_directory, parts.directory,
                     text, buf);
        require_part(cfg.module, true, parts.module, text, buf);
        require_part(cfg.function, true, parts.function, text, buf);
        require_part(cfg.config, parts.has_config, parts.config, text, buf);
    }

    free(buf);
    free(text);

    return 0;
}
