import { escapesFrom } from "./escape.ts";

escapesFrom("chroot");
