/**
 * Remembers every proxy the guest makes. Nothing inside the language tells a proxy from its target, and looking at one
 * runs guest code; the kernel must neither be fooled nor run code where it only looks.
 */
import { construct, defineProperty, getOwnPropertyDescriptor, KernelTypeError, SafeWeakSet } from "./intrinsics.js";

const proxies = new SafeWeakSet<object>();
/** Most sessions never make one, and the question is asked for every object that leaves. */
let anyMade = false;

export function isProxy(value: object): boolean {
  return anyMade && proxies.has(value);
}

function remember(proxy: object): void {
  anyMade = true;
  proxies.add(proxy);
}

export function installProxies(): void {
  const Native = Proxy;
  const revocable = Native.revocable;
  function RecordingProxy(this: unknown, target: object, handler: ProxyHandler<object>): object {
    if (new.target === undefined) throw new KernelTypeError("Constructor Proxy requires 'new'");
    const proxy = construct(Native, [target, handler]) as object;
    remember(proxy);
    return proxy;
  }
  // A proxy constructor has no prototype property; a plain function's cannot be deleted, a bound one has none.
  const Recording = RecordingProxy.bind(undefined);
  defineProperty(Recording, "name", { value: "Proxy", configurable: true });
  defineProperty(Recording, "length", { value: 2, configurable: true });
  const revocableMethod = {
    revocable(target: object, handler: ProxyHandler<object>): { proxy: object; revoke: () => void } {
      const pair = revocable(target, handler);
      remember(pair.proxy);
      return pair;
    },
  }.revocable;
  defineProperty(Recording, "revocable", {
    value: revocableMethod,
    writable: true,
    enumerable: false,
    configurable: true,
  });
  const descriptor = getOwnPropertyDescriptor(globalThis, "Proxy");
  defineProperty(globalThis, "Proxy", { ...descriptor, value: Recording });
}
