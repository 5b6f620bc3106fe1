/* Gives the golden output of feature_kraft.h the name by which its neighbours include it. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_KRAFT_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_KRAFT_H

#include "feature_kraft.h.golden"

#endif
