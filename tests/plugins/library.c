/* A shared library that is no plugin, or not quite one. */

#include <stdio.h>

#ifdef WITH_INFO
/* What `export_plugin!` would have put here. */
const unsigned char RINGMILL_PLUGIN_INFO[] = {INFO};
#endif

#ifdef WITH_INFO_UNSET
unsigned char RINGMILL_PLUGIN_INFO[256];
#endif

#ifdef WITH_ROOT
/* Room enough for a header of `abi_stable`, and none in it. */
unsigned char RINGMILL_PLUGIN_ROOT[1024];
#endif

#ifdef WITH_UNDEFINED
void nosuch_fn(void);
void never_called(void) { nosuch_fn(); }
#endif

#ifdef WITH_STATIC_TLS
/* As jemalloc has it, but larger than any linker's reserve. */
__thread char reserve[1 << 20] __attribute__((tls_model("initial-exec")));
char *first(void) { return reserve; }
#endif

/* Runs when the library is opened, which one without a root must not be. */
__attribute__((constructor)) static void init(void) {
#ifndef WITH_ROOT
    fputs("the code of this library has run\n", stderr);
#endif
}

int answer(void) { return 42; }
