/** Made by build-guest.mjs: what the libraries import of the kernel. */
declare module "#shared" {
  /** In the order that the build gave to the libraries; the first is `library` of libraries.ts. */
  export function shared(): readonly unknown[];
}
