/* Finds equal names side by side in a sorted list. */
#include "broker/handlers/repeated_names.h"

#include <stdlib.h>

struct place {
    slice name;
    size_t index;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    int order = slice_compare(left->name, right->name);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

const enum name_mark *repeated_names(struct arena *arena, const slice *names, size_t count)
{
    enum name_mark *marks = arena_alloc_array(arena, count, sizeof *marks);
    struct place *sorted = arena_alloc_array(arena, count, sizeof *sorted);
    if (!marks || !sorted)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        marks[i] = NAME_ONCE;
        sorted[i] = (struct place){ names[i], i };
    }
    qsort(sorted, count, sizeof *sorted, compare_places);
    for (size_t i = 1; i < count; i++) {
        if (!slice_equal(sorted[i - 1].name, sorted[i].name))
            continue;
        if (marks[sorted[i - 1].index] == NAME_ONCE)
            marks[sorted[i - 1].index] = NAME_DUPLICATE;
        marks[sorted[i].index] = NAME_REPEATED;
    }
    return marks;
}
