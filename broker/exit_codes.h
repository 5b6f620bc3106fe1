/* How the process ends: one code per kind of failure, numbered as in sysexits(3) where it fits. */
#ifndef RUNNEL_BROKER_EXIT_CODES_H
#define RUNNEL_BROKER_EXIT_CODES_H

enum exit_code {
    EXIT_OK = 0,                   /* a clean stop, or --help and the like printed */
    EXIT_USAGE = 64,               /* the command line is wrong */
    EXIT_DATA_DIR_CORRUPT = 65,    /* a file in a log directory cannot be repaired safely */
    EXIT_ADDRESS = 69,             /* a listener's address is in use or not ours */
    EXIT_INTERNAL = 70,            /* our own mistake, or out of memory at start */
    EXIT_DATA_DIR_FOREIGN = 72,    /* a log directory belongs to another cluster or node */
    EXIT_DATA_DIR_UNWRITABLE = 73, /* permissions, read-only file system, no space at start */
    EXIT_STORAGE_FAILED = 74,      /* the device failed while serving, or the disk was full at the stop; what was
                                    acknowledged is kept */
    EXIT_DATA_DIR_LOCKED = 75,     /* another process uses a log directory */
    EXIT_CONFIG = 78,              /* a setting is wrong, unknown or refused */
};

#endif
