import { isRecord } from "../../lib/core/json.ts";
import { accountKey } from "../../lib/registry/account-keys.ts";
import { Engine } from "../engine/engine.ts";
import { withAuths } from "./accounts.ts";
import { badRequest, type Call, jsonBody, sendJson } from "./call.ts";

/** `POST /auth`: tries an account at its registry. The client keeps it; the server does not. */
export async function checkAccount({ server, request, response, signal }: Call): Promise<void> {
  const account = await jsonBody(request);
  if (!isRecord(account)) throw badRequest("Cannot read the account: it is no object");
  const { serveraddress: address } = account;
  const [registry = ""] = accountKey(typeof address === "string" && address !== "" ? address : "docker.io").split("/");
  const environment = withAuths(server.environment, [[registry, account]]);
  await using engine = new Engine(environment, { progress: () => {} });
  await (await engine.registry()).ping(registry, signal);
  sendJson(response, 200, { Status: "Login Succeeded", IdentityToken: "" });
}
