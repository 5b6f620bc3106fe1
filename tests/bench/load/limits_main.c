/* limits: raw limits of this machine, one at a time, each as the JSON object that `load` prints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/check.h"
#include "tests/bench/load/arguments.h"
#include "tests/bench/load/limits.h"

enum { SIZE_UNSAID = 0, SIZE_USUAL = 64 << 10 };

static const struct argument table[] = {
    { "--listen", ARGUMENT_TEXT, offsetof(struct limit_options, listen) },
    { "--directory", ARGUMENT_TEXT, offsetof(struct limit_options, directory) },
    { "--connections", ARGUMENT_INT, offsetof(struct limit_options, connections) },
    { "--partitions", ARGUMENT_INT, offsetof(struct limit_options, partitions) },
    { "--size", ARGUMENT_SIZE, offsetof(struct limit_options, write_size) },
    { "--total-size", ARGUMENT_SIZE, offsetof(struct limit_options, total_size) },
    { "--record-size", ARGUMENT_SIZE, offsetof(struct limit_options, record_size) },
    { "--batch-size", ARGUMENT_SIZE, offsetof(struct limit_options, batch_size) },
    { "--rate", ARGUMENT_NUMBER, offsetof(struct limit_options, rate) },
    { "--seconds", ARGUMENT_NUMBER, offsetof(struct limit_options, seconds) },
    { "--codec", ARGUMENT_CODEC, offsetof(struct limit_options, codec) },
    { NULL, ARGUMENT_FLAG, 0 },
};

static const char usage[] =
    "usage: limits WHAT [OPTION...]\n"
    "\n"
    "  pump       loopback TCP: --connections N --size BYTES-A-CALL --total-size B\n"
    "             --directory D: the receivers write it onto new files (the limit of produce)\n"
    "  sendmsg    the same out of mapped files in --directory (the limit of fetch)\n"
    "  pwritev    onto new files: --directory D --connections FILES --size B --total-size B\n"
    "  fdatasync  appends made durable: --directory D --size B --rate PER-SECOND --seconds S\n"
    "  crc        crc32c: --size B --seconds S\n"
    "  compress, decompress   --codec C --record-size B --batch-size B --seconds S\n"
    "  warm       --total-size B (or --size B) of memory is touched and freed; --directory D: of page cache\n"
    "  sink       answers Produce and forgets: --listen HOST:PORT --partitions N; prints its address\n"
    "             --directory D: it writes the records of each partition to a file there before\n"
    "  echo       sends back what it gets: --listen HOST:PORT\n";

static char codec_words[128];

static void run_compress(const struct limit_options *options, struct result *out)
{
    double ratio;
    bool decompress = strcmp(out->kind, "decompress") == 0;
    limit_codec(options, decompress, out, &ratio);
    snprintf(codec_words, sizeof codec_words, "\"codec\":\"%s\",\"ratio\":%.3f", codec_name(options->codec),
             ratio);
}

static const struct {
    const char *name;
    void (*run)(const struct limit_options *options, struct result *out);
    bool needs_directory;
} limits[] = {
    { "pump", limit_pump, false },         { "sendmsg", limit_sendmsg, true },
    { "pwritev", limit_pwritev, true },    { "fdatasync", limit_fdatasync, true },
    { "crc", limit_crc, false },           { "compress", run_compress, false },
    { "decompress", run_compress, false }, { "warm", limit_warm, false },
};

static _Noreturn void explain(void)
{
    fputs(usage, stderr);
    exit(2);
}

static void run_limit(const char *name, const struct limit_options *options)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        if (strcmp(limits[i].name, name) != 0)
            continue;
        struct result *result = check_memory(calloc(1, sizeof *result));
        if (limits[i].needs_directory && !options->directory)
            explain();
        result->kind = limits[i].name;
        limits[i].run(options, result);
        result_print(result, codec_words[0] ? codec_words : NULL);
        free(result);
        return;
    }
    explain();
}

int main(int argc, char **argv)
{
    struct limit_options options = { .listen = "127.0.0.1:0",
                                     .connections = 1,
                                     .partitions = 16,
                                     .write_size = 64 << 10,
                                     .total_size = 1 << 30,
                                     .record_size = 1024,
                                     .batch_size = 64 << 10,
                                     .seconds = 2,
                                     .codec = CODEC_LZ4 };
    if (argc < 2)
        explain();
    arguments_read(table, argc - 2, argv + 2, &options);
    if (strcmp(argv[1], "warm") == 0 && options.write_size != SIZE_UNSAID)
        options.total_size = options.write_size;
    if (options.write_size == SIZE_UNSAID || strcmp(argv[1], "warm") == 0)
        options.write_size = SIZE_USUAL;
    if (options.connections < 1 || options.partitions < 1 || options.write_size < 1 || options.total_size < 1)
        explain();
    if (strcmp(argv[1], "sink") == 0)
        limit_sink(&options);
    else if (strcmp(argv[1], "echo") == 0)
        limit_echo(&options);
    else
        run_limit(argv[1], &options);
    return 0;
}
