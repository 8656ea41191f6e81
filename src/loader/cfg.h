#ifndef PYTHON_CFG_H
#define PYTHON_CFG_H

/* The loader's grammar: [directory/]module[?],function[,config] */

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    char  *directory;   /* NULL: none; "/" or without a slash at its end */
    char  *module;
    char  *function;
    char  *config;      /* NULL: none; all behind the second comma */
    bool   fresh;       /* a "?" stood behind the module */
} cfg_t;

/*
 * Fills *cfg with pointers into text, which is cut up and must live as long;
 * text may be NULL.  Returns NULL, or what is wrong: a static string that
 * continues 'cfg must be "module,function[,config]": '.
 */
const char *cfg_parse(cfg_t *cfg, char *text);

#endif /* PYTHON_CFG_H */
