/* Reads the names of resources that have settings. */
#include "broker/config_resource.h"

#include <stdio.h>

#include "broker/config_internal.h"
#include "protocol/base/note.h"

enum config_resource_node config_resource_node(slice name, int32_t node_id)
{
    int64_t id;
    if (!config__parse_integer(name, INT32_MIN, INT32_MAX, &id))
        return NODE_NO_NUMBER;
    return id == node_id ? NODE_OURS : NODE_OTHER;
}

const char *config_resource_text(slice name, char out[CONFIG_RESOURCE_TEXT_SIZE])
{
    const char *escaped = note_escape(name);
    snprintf(out, CONFIG_RESOURCE_TEXT_SIZE, "%s", escaped + (escaped[0] == '"'));
    char *quote = strrchr(out, '"');
    if (quote)
        *quote = '\0';
    return out;
}
