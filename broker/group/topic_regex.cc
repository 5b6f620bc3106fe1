/* RE2 behind a C interface: no exception leaves this file. */
#include "broker/group/topic_regex.h"

#include <re2/re2.h>

#include <cstdio>
#include <exception>

namespace
{
/* A pattern is a client's: what it may cost is bounded, in bytes of it and of the automaton. */
constexpr size_t pattern_size_max = 4096;
constexpr int64_t memory_max = 2 << 20;

re2::StringPiece piece_of(slice bytes)
{
    return re2::StringPiece(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

RE2::Options make_options()
{
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(memory_max);
    return options;
}
} // namespace

struct topic_regex {
    RE2 re2;
    explicit topic_regex(slice pattern) : re2(piece_of(pattern), make_options())
    {
    }
};

extern "C" struct topic_regex *topic_regex_open(slice pattern, char why[TOPIC_REGEX_ERROR_SIZE])
{
    char ignored[TOPIC_REGEX_ERROR_SIZE];
    if (!why)
        why = ignored;
    if (pattern.size > pattern_size_max) {
        snprintf(why, TOPIC_REGEX_ERROR_SIZE, "expression too large");
        return nullptr;
    }
    try {
        auto *regex = new topic_regex(pattern);
        if (regex->re2.ok())
            return regex;
        snprintf(why, TOPIC_REGEX_ERROR_SIZE, "%s", regex->re2.error().c_str());
        delete regex;
    } catch (const std::exception &) {
        snprintf(why, TOPIC_REGEX_ERROR_SIZE, "no memory");
    }
    return nullptr;
}

extern "C" void topic_regex_close(struct topic_regex *regex)
{
    delete regex;
}

extern "C" bool topic_regex_matches(const struct topic_regex *regex, slice name)
{
    try {
        return RE2::FullMatch(piece_of(name), regex->re2);
    } catch (const std::exception &) {
        return false;
    }
}

extern "C" bool topic_regex_check(slice pattern, char why[TOPIC_REGEX_ERROR_SIZE])
{
    struct topic_regex *regex = topic_regex_open(pattern, why);
    topic_regex_close(regex);
    return regex != nullptr;
}
