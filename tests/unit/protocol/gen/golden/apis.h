/* Gives the golden output of apis.h the name by which its neighbours include it. */
#ifndef RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_APIS_H
#define RUNNEL_TESTS_UNIT_PROTOCOL_GEN_GOLDEN_APIS_H

#include "apis.h.golden"

#endif
