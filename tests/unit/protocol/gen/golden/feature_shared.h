/* Gives the golden output of feature_shared.h the name by which its neighbours include it. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_SHARED_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_SHARED_H

#include "feature_shared.h.golden"

#endif
