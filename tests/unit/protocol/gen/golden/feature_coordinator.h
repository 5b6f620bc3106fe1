/* Gives the golden output of feature_coordinator.h the name by which its neighbours include it. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_COORDINATOR_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_FEATURE_COORDINATOR_H

#include "feature_coordinator.h.golden"

#endif
