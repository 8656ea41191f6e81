#include <string.h>

#include "cfg.h"


const char *
cfg_parse(cfg_t *cfg, char *text)
{
    char    *comma, *slash;
    size_t   len;

    memset(cfg, 0, sizeof(cfg_t));

    if (text == NULL) {
        return "it is nil";
    }

    if (*text == '\0') {
        return "it is empty";
    }

    comma = strchr(text, ',');
    if (comma == NULL) {
        return "it has no comma";
    }

    *comma = '\0';
    cfg->function = comma + 1;

    comma = strchr(cfg->function, ',');
    if (comma) {
        *comma = '\0';
        cfg->config = comma + 1;
    }

    cfg->module = text;

    slash = strrchr(text, '/');
    if (slash) {
        cfg->module = slash + 1;

        while (slash > text && slash[-1] == '/') {
            slash--;
        }

        cfg->directory = slash == text ? "/" : text;
        *slash = '\0';
    }

    len = strlen(cfg->module);
    if (len && cfg->module[len - 1] == '?') {
        cfg->module[--len] = '\0';
        cfg->fresh = true;
    }

    if (len == 0) {
        return "its module is empty";
    }

    if (*cfg->function == '\0') {
        return "its function is empty";
    }

    return NULL;
}
