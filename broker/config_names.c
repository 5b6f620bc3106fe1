/* What a name means that is none of our settings, and which setting was probably meant. */
#include "broker/config_internal.h"

struct known_name {
    const char *name; /* ends with '.': a prefix */
    enum config_name_kind kind;
};

static const struct known_name known_names[] = {
    /* The authorizer's own settings: whoever writes them counts on their effect. */
    { "super.users", NAME_REFUSED },
    { "allow.everyone.if.no.acl.found", NAME_REFUSED },
    { "config.providers.", NAME_REFUSED },

    /* Settings of plug-ins: metrics reporters, remote storage (off), a vendor's additions. */
    { "metrics.context.", NAME_PLUGIN },
    { "metrics.jmx.", NAME_PLUGIN },
    { "kafka.csv.metrics.", NAME_PLUGIN },
    { "rlmm.config.", NAME_PLUGIN },
    { "rsm.config.", NAME_PLUGIN },
    { "confluent.", NAME_PLUGIN },

    /* Kafka's until 4.0 at the latest, where ZooKeeper and old formats went. */
    { "zookeeper.", NAME_REMOVED },
    { "auto.include.jmx.reporter", NAME_REMOVED },
    { "inter.broker.protocol.version", NAME_REMOVED },
    { "log.message.format.version", NAME_REMOVED },
    { "log.message.timestamp.difference.max.ms", NAME_REMOVED },
    { "log.message.downconversion.enable", NAME_REMOVED },
    { "broker.id.generation.enable", NAME_REMOVED },
    { "reserved.broker.max.id", NAME_REMOVED },
    { "control.plane.listener.name", NAME_REMOVED },
    { "controlled.shutdown.max.retries", NAME_REMOVED },
    { "controlled.shutdown.retry.backoff.ms", NAME_REMOVED },
    { "delegation.token.master.key", NAME_REMOVED },
    { "offsets.commit.required.acks", NAME_REMOVED },
    { "group.coordinator.new.enable", NAME_REMOVED },
    { "leader.imbalance.per.broker.percentage", NAME_REMOVED },
    { "password.encoder.", NAME_REMOVED },
    { "quota.producer.default", NAME_REMOVED },
    { "quota.consumer.default", NAME_REMOVED },
    { "log.cleaner.hash.algorithm", NAME_REMOVED },
    { "advertised.host.name", NAME_REMOVED },
    { "advertised.port", NAME_REMOVED },
    { "host.name", NAME_REMOVED },
    { "port", NAME_REMOVED },
};

static bool begins_with(slice name, const char *prefix)
{
    size_t size = strlen(prefix);
    return name.size >= size && memcmp(name.data, prefix, size) == 0;
}

static bool matches(slice name, const char *known)
{
    size_t size = strlen(known);
    return known[size - 1] == '.' ? begins_with(name, known) && name.size > size
                                  : slice_equal_string(name, known);
}

/* listener.name.<listener>.<setting>, also listener.name.<listener>.<mechanism>.<setting>: *rest is
 * the setting. */
static bool listener_setting(slice name, slice *rest)
{
    static const char prefix[] = "listener.name.";
    if (!begins_with(name, prefix))
        return false;
    slice tail = slice_of(name.data + sizeof prefix - 1, name.size - (sizeof prefix - 1));
    for (int part = 0; part < 2; part++) {
        const uint8_t *dot = tail.size > 0 ? memchr(tail.data, '.', tail.size) : NULL;
        if (dot == NULL || dot == tail.data)
            return false;
        tail = slice_of(dot + 1, tail.size - (size_t)(dot + 1 - tail.data));
        if (config_row_find(tail) != SIZE_MAX) {
            *rest = tail;
            return true;
        }
    }
    return false;
}

enum config_name_kind config__name_kind(slice name, slice *rest)
{
    if (listener_setting(name, rest))
        return NAME_LISTENER;
    for (size_t i = 0; i < sizeof known_names / sizeof *known_names; i++)
        if (matches(name, known_names[i].name))
            return known_names[i].kind;
    return NAME_UNKNOWN;
}

enum { NEAREST_SIZE_MAX = 96 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Letters to insert, drop, change or swap with their neighbour until one name is the other; what is
 * not below bound may be told as bound. */
static unsigned edit_distance(const char *a, size_t a_size, const char *b, size_t b_size, unsigned bound)
{
    unsigned rows[3][NEAREST_SIZE_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b_size; j++)
        last[j] = (unsigned)j;
    memset(rows[0], 0, sizeof rows[0]);
    unsigned smallest_before = 0;
    for (size_t i = 1; i <= a_size; i++) {
        unsigned smallest = (unsigned)i;
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= b_size; j++) {
            unsigned change = last[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(change, least(last[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
            smallest = least(smallest, now[j]);
        }
        if (smallest >= bound && smallest_before >= bound) /* two rows: a swap looks back that far */
            return bound;
        smallest_before = smallest;
        unsigned *oldest = before;
        before = last;
        last = now;
        now = oldest;
    }
    return last[b_size];
}

/* Upper case, '_' and '-' are common slips and cost nothing. */
static size_t fold(slice name, char out[NEAREST_SIZE_MAX])
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        out[i] = (char)(c == '_' || c == '-' ? '.' : c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return name.size;
}

const char *config__nearest_name(slice name)
{
    char folded[NEAREST_SIZE_MAX];
    if (name.size == 0 || name.size > NEAREST_SIZE_MAX)
        return NULL;
    size_t size = fold(name, folded);
    const char *nearest = NULL;
    unsigned closest = (unsigned)(size / 4 + 2); /* farther away is a guess, not a help */
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const char *candidate = config__rows[i].name;
        size_t candidate_size = strlen(candidate);
        size_t gap = candidate_size > size ? candidate_size - size : size - candidate_size;
        if (gap >= closest || candidate_size > NEAREST_SIZE_MAX || config__rows[i].scope == SCOPE_INTERNAL)
            continue;
        unsigned distance = edit_distance(folded, size, candidate, candidate_size, closest);
        if (distance < closest) {
            closest = distance;
            nearest = candidate;
        }
    }
    return nearest;
}
