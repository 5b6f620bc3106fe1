/* Names of settings in the environment, as Apache's image reads them. */
#include "broker/config_internal.h"

/* For the scripts and the JVM around Kafka, not for Kafka. */
static const char *const left_out[] = {
    "KAFKA_VERSION",
    "KAFKA_HEAP_OPTS",
    "KAFKA_LOG4J_OPTS",
    "KAFKA_OPTS",
    "KAFKA_JMX_OPTS",
    "KAFKA_JVM_PERFORMANCE_OPTS",
    "KAFKA_GC_LOG_OPTS",
    "KAFKA_LOG4J_ROOT_LOGLEVEL",
    "KAFKA_LOG4J_LOGGERS",
    "KAFKA_TOOLS_LOG4J_LOGLEVEL",
    "KAFKA_JMX_HOSTNAME",
    /* Read by Kafka's own scripts. */
    "KAFKA_HOME",
    "KAFKA_DEBUG",
    "KAFKA_JMX_PORT",
};

static bool ends_with(const char *text, const char *tail)
{
    size_t size = strlen(text), tail_size = strlen(tail);
    return size >= tail_size && strcmp(text + size - tail_size, tail) == 0;
}

/* After "_PORT_": digits and _TCP, _UDP or _SCTP. */
static bool is_port_link(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    text += digits;
    return digits > 0 &&
           (strncmp(text, "_TCP", 4) == 0 || strncmp(text, "_UDP", 4) == 0 || strncmp(text, "_SCTP", 5) == 0);
}

/* Kubernetes tells every container of every service: a service named kafka (or kafka-x) gives
 * KAFKA_PORT=tcp://..., KAFKA_SERVICE_HOST, KAFKA_SERVICE_PORT_X, KAFKA_PORT_9092_TCP_ADDR. */
static bool is_service_link(const char *variable, const char *value)
{
    const char *port = strstr(variable, "_PORT_");
    if (ends_with(variable, "_SERVICE_HOST") || ends_with(variable, "_SERVICE_PORT") ||
        strstr(variable, "_SERVICE_PORT_") != NULL)
        return true;
    if (port != NULL && is_port_link(port + 6))
        return true;
    return ends_with(variable, "_PORT") && strstr(value, "://") != NULL;
}

bool config__env_name(const char *variable, const char *value, char *out, size_t size)
{
    static const char prefix[] = "KAFKA_";
    if (strncmp(variable, prefix, sizeof prefix - 1) != 0 || is_service_link(variable, value))
        return false;
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(variable, left_out[i]) == 0)
            return false;
    const char *from = variable + sizeof prefix - 1;
    size_t at = 0;
    while (*from != '\0' && at + 1 < size) {
        size_t bars = strspn(from, "_"); /* three are '-', two '_', one '.', from the left */
        size_t taken = bars > 3 ? 3 : bars == 0 ? 1 : bars;
        char c = *from;
        out[at++] = taken == 3             ? '-'
                    : taken == 2           ? '_'
                    : c == '_'             ? '.'
                    : c >= 'A' && c <= 'Z' ? (char)(c + 32)
                                           : c;
        from += taken;
    }
    out[at] = '\0';
    return at > 0 && *from == '\0';
}
