#include <stdio.h>
#include <unistd.h>

int main(void) { return printf("hello from c as %d, really %d\n", (int)geteuid(), (int)getuid()) < 0; }
