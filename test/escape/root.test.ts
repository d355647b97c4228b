import { escapesFrom } from "./escape.ts";

escapesFrom("root");
