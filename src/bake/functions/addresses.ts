import { isIP } from "node:net";
import { type Args, callFailure, define, type NativeFunction } from "./args.ts";

/** A range of addresses. */
interface Network {
  readonly address: bigint;
  readonly prefix: number;
  /** 32 or 128. */
  readonly bits: number;
}

/** Functions of address ranges. */
export const ADDRESS_FUNCTIONS: Readonly<Record<string, NativeFunction>> = {
  cidrhost: define(2, 2, (args) => {
    const network = parseNetwork(args.text(0));
    const size = 1n << BigInt(network.bits - network.prefix);
    const number = BigInt(args.whole(1));
    const host = number < 0n ? size + number : number;
    if (host < 0n || host >= size) throw callFailure(`the prefix has no host ${number}`);
    return addressText(network.address + host, network.bits);
  }),
  cidrnetmask: define(1, 1, (args) => {
    const { prefix, bits } = parseNetwork(args.text(0));
    if (bits !== 32) throw callFailure("only IPv4 has masks");
    return addressText(((1n << BigInt(prefix)) - 1n) << BigInt(bits - prefix), bits);
  }),
  cidrsubnet: define(3, 3, (args) => {
    const network = parseNetwork(args.text(0));
    const prefix = longer(network, args.whole(1), network.prefix);
    const number = BigInt(args.whole(2));
    if (number < 0n || number >= 1n << BigInt(args.whole(1))) throw callFailure(`there is no subnet ${number}`);
    return `${addressText(network.address + (number << BigInt(network.bits - prefix)), network.bits)}/${prefix}`;
  }),
  cidrsubnets: define(1, Number.POSITIVE_INFINITY, subnets),
};

function subnets(args: Args): string[] {
  const network = parseNetwork(args.text(0));
  const end = network.address + (1n << BigInt(network.bits - network.prefix));
  let next = network.address;
  return args.values.slice(1).map((_, index) => {
    const prefix = longer(network, args.whole(index + 1), network.prefix);
    const size = 1n << BigInt(network.bits - prefix);
    const start = ((next + size - 1n) / size) * size;
    next = start + size;
    if (next > end) throw callFailure("the range is too small for these subnets");
    return `${addressText(start, network.bits)}/${prefix}`;
  });
}

function longer({ bits }: Network, added: number, prefix: number): number {
  if (added < 0 || prefix + added > bits) throw callFailure(`a prefix of ${prefix + added} bits`);
  return prefix + added;
}

function parseNetwork(text: string): Network {
  const [address = "", prefixText = ""] = text.split("/");
  const version = isIP(address);
  const bits = version === 4 ? 32 : 128;
  if (version === 0 || !/^\d{1,3}$/.test(prefixText) || Number(prefixText) > bits) {
    throw callFailure(`${JSON.stringify(text)} is no prefix like 10.0.0.0/8`);
  }
  const prefix = Number(prefixText);
  const free = BigInt(bits - prefix);
  return { address: (addressNumber(address, version) >> free) << free, prefix, bits };
}

function addressNumber(text: string, version: number): bigint {
  if (version === 4) return text.split(".").reduce((all, part) => (all << 8n) | BigInt(part), 0n);
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (dotted !== null) {
    const low = addressNumber(dotted[2] ?? "", 4);
    return addressNumber(`${dotted[1]}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`, 6);
  }
  const [head = "", tail] = text.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros: string[] = tail === undefined ? [] : Array.from({ length: 8 - left.length - right.length }, () => "0");
  return [...left, ...zeros, ...right].reduce((all, part) => (all << 16n) | BigInt(`0x${part}`), 0n);
}

function addressText(address: bigint, bits: number): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => String((address >> shift) & 0xffn)).join(".");
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((address >> BigInt(112 - index * 16)) & 0xffffn).toString(16),
  );
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
