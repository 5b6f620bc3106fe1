/* Files that are none, or that nobody may open: found before anything is changed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/log_directory.h"
#include "storage/store_internal.h"

__attribute__((format(printf, 3, 4))) static enum store_status
refuse(enum store_status status, const char **error, const char *format, ...)
{
    va_list arguments;
    char *text;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    return store__fail(status, text, error);
}

static enum store_status look_into(const struct segment_home *home, bool only_logs, const char **error)
{
    char name[LOG_DIRECTORY_NAME_SIZE];
    enum file_status status = log_directory_odd_name(home, name);

    if (status == FILE_DENIED)
        return refuse(STORE_DENIED, error,
                      "cannot list %s: permission denied; let the user of this process read and write there",
                      home->path);
    if (status == FILE_OK && name[0])
        return refuse(STORE_FOREIGN, error,
                      "%s/%s should be a file and is a directory, a link, a pipe or a device; links are not "
                      "followed there: put the file itself in its place",
                      home->path, name);
    /* What else cannot be opened now, its recovery will meet. */
    if (status == FILE_OK && log_directory_denied_name(home, only_logs, name))
        return refuse(STORE_DENIED, error,
                      "cannot open %s/%s: permission denied; let the user of this process read and write it",
                      home->path, name);
    return STORE_OK;
}

static enum store_status look_into_found(const struct store_found *found, const struct store *store,
                                         const char **error)
{
    const struct store_directory *directory = &store->directories[found->directory];
    bool is_later = directory->was_clean || found->has_row;
    char *path = is_later ? NULL : directory_child(&directory->directory, found->name);
    const struct segment_home home = { store->env, NULL, path };
    enum store_status status = path ? look_into(&home, true, error) : STORE_OK;

    if (!path && !is_later)
        return store__fail(STORE_LIMIT, NULL, error);
    free(path);
    return status;
}

/* The metadata log is opened at once, whoever stopped. */
static enum store_status look_into_metadata(const struct store *store, const char **error)
{
    char *path = directory_child(&store->directories[0].directory, METADATA_TOPIC_NAME "-0");
    const struct segment_home home = { store->env, NULL, path };
    enum store_status status = path ? look_into(&home, false, error) : store__fail(STORE_LIMIT, NULL, error);

    free(path);
    return status;
}

/* Of logs that are opened one by one later, each is looked at then. */
enum store_status store__look(struct store *store, const char **error)
{
    enum store_status status = look_into_metadata(store, error);

    for (size_t i = 0; i < store->found_count && status == STORE_OK; i++)
        status = look_into_found(&store->found[i], store, error);
    return status;
}
