// What Node takes to start and to end, for bench/exec.ts.
