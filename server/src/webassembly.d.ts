/**
 * The part of the WebAssembly JavaScript interface that this server uses. TypeScript declares it in its DOM library only,
 * whose globals a server must not have.
 */
declare global {
  namespace WebAssembly {
    class Module {
      constructor(bytes: Uint8Array);
      static exports(module: Module): { name: string; kind: string }[];
    }

    class Instance {
      constructor(module: Module, imports: Record<string, ModuleImports>);
      readonly exports: Exports;
    }

    /** Always shared here: it is what makes a session independent of the thread that runs it. */
    class Memory {
      constructor(limits: { initial: number; maximum: number; shared: true });
      readonly buffer: SharedArrayBuffer;
      /** @throws RangeError beyond the maximum */
      grow(pages: number): number;
    }

    class Table {
      readonly length: number;
      /** Adds empty entries; returns the old length. */
      grow(count: number): number;
      /** @param value an exported function of some instance */
      set(index: number, value: ExportValue): void;
      get(index: number): ExportValue;
    }

    type ExportValue = (...values: never[]) => unknown;
    type Exports = Record<string, ExportValue | Table | undefined>;
    type ModuleImports = Record<string, Memory | number | ((...values: never[]) => unknown)>;
  }
}

export {};
