/* Gives the golden output of feature.h the name by which its neighbours include it. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_H

#include "feature.h.golden"

#endif
