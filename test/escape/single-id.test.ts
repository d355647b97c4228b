import { escapesFrom } from "./escape.ts";

escapesFrom("single-id");
