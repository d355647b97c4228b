export type Escape = "\\" | "`";
