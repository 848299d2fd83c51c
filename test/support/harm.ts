/** The server did what no guest can be blamed for. */
export class Harm extends Error {
  override get name(): string {
    return "Harm";
  }
}

/** It answered too late, by more than the machine kept everybody waiting. */
export class Late extends Harm {
  override get name(): string {
    return "Late";
  }
}
