import { escapesFrom } from "./escape.ts";

escapesFrom("subordinate-ids");
