/* Preloaded into the function, so that a name has no address until a file is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    resolve next = (resolve)dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && strcmp(node, "dynamodb.test") == 0) {
        if (access(getenv("CALLGATE_RESOLVES"), F_OK) != 0) {
            return EAI_NONAME;
        }
        node = "127.0.0.1";
    }
    return next(node, service, hints, found);
}
