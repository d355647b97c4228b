import { greet } from "@repo/greet";

console.log(greet("web"), process.getuid(), process.env.NODE_ENV);
