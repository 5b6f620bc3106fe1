/* Raw limits of this machine: what is left when a broker's own work is taken away. */
#ifndef RUNNEL_TESTS_BENCH_LOAD_LIMITS_H
#define RUNNEL_TESTS_BENCH_LOAD_LIMITS_H

#include "protocol/compress.h"
#include "tests/bench/load/result.h"
#include "tests/support/load.h"

struct limit_options {
    const char *listen;    /* HOST:PORT of sink and echo; port 0: a free one */
    const char *directory; /* for files; NULL: no file */
    int connections;       /* or files */
    int partitions;        /* that the sink says a topic has */
    uint64_t write_size;   /* bytes a call */
    uint64_t total_size;
    uint64_t record_size, batch_size;
    double rate, seconds;
    enum codec codec;
};

/* total_size bytes from one thread to another over loopback TCP, write_size a call, on as many connections.
 * directory: the receivers pwritev what they get onto new files there, as a broker that does nothing else
 * would, and remove these. The server's CPU is that of the receivers, the client's that of the senders. */
void limit_pump(const struct limit_options *options, struct result *out);
/* The same out of mappings of files that are in the page cache, by sendmsg(): the server's CPU is that of the
 * senders. */
void limit_sendmsg(const struct limit_options *options, struct result *out);
/* total_size bytes in pieces of write_size to `connections` new files in directory, a thread each, by pwritev
 * at the end, as the broker would; removes the files. */
void limit_pwritev(const struct limit_options *options, struct result *out);
/* Appends of write_size at the rate a second, each durable by the next fdatasync: all that is due meanwhile
 * goes with that one, as in the best group commit. Latency from the time an append was due; requests are the
 * fdatasyncs, records the appends. rate 0: one after the other, each with its own. */
void limit_fdatasync(const struct limit_options *options, struct result *out);
/* crc32c() over pieces of write_size, by one thread. */
void limit_crc(const struct limit_options *options, struct result *out);
/* The bare library on the payload of a batch; decompresses when decompress. size is that of the plain bytes.
 */
void limit_codec(const struct limit_options *options, bool decompress, struct result *out, double *ratio);
/* Touches and frees so much page cache (directory given) or memory, so that the next run meets memory that
 * the host has found. */
void limit_warm(const struct limit_options *options, struct result *out);

/* Servers: print HOST:PORT and run until SIGTERM.
 * A sink with a directory has a thread for each core, which appends what it is sent to a file of its own for each
 * partition; they have no name and go with it. It is the least that a broker has to do. */
void limit_sink(const struct limit_options *options);
void limit_echo(const struct limit_options *options);

/* Two ends of a connection over loopback. */
void loopback_pair(int ends[2]);
/* Sends all of it by sendmsg(). */
void loopback_send(int descriptor, const void *bytes, size_t size);
double thread_cpu_seconds(void);
/* A new file without a name in the directory. */
int limit_open_file(const char *directory);

#endif
