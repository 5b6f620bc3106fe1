/* Gives the golden output of feature_raw.h the name by which its neighbours include it. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_RAW_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_RAW_H

#include "feature_raw.h.golden"

#endif
