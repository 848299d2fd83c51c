/** Node has it; TypeScript's library for ES2023 does not know of it. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}
