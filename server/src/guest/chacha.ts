/** A stream of random bytes out of a key of 256 bits: the block function of ChaCha20 (RFC 8439) in counter mode. */

const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
const DOUBLE_ROUNDS = 10;
const BLOCK_BYTES = 64;

export class ChaChaStream {
  /** Constants, key, counter, and a nonce of zeroes: each key is used for one stream. */
  readonly #state = new Uint32Array(16);
  readonly #work = new Uint32Array(16);
  readonly #block = new Uint8Array(this.#work.buffer);
  #used = BLOCK_BYTES;

  /** @param word of the key, by its index from 0 to 7 */
  constructor(word: (index: number) => number) {
    for (let i = 0; i < 4; i++) this.#state[i] = CONSTANTS[i] as number;
    for (let i = 0; i < 8; i++) this.#state[4 + i] = word(i);
  }

  nextByte(): number {
    if (this.#used === BLOCK_BYTES) this.#nextBlock();
    return this.#block[this.#used++] as number;
  }

  #nextBlock(): void {
    const state = this.#state;
    const work = this.#work;
    for (let i = 0; i < 16; i++) work[i] = state[i] as number;
    for (let round = 0; round < DOUBLE_ROUNDS; round++) {
      for (let i = 0; i < 4; i++) quarterRound(work, i, 4 + i, 8 + i, 12 + i);
      for (let i = 0; i < 4; i++) quarterRound(work, i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
    }
    for (let i = 0; i < 16; i++) work[i] = (work[i] as number) + (state[i] as number);
    // 2 ** 32 blocks are 256 GiB, and the second word makes it 64 bits.
    state[12] = (state[12] as number) + 1;
    if (state[12] === 0) state[13] = (state[13] as number) + 1;
    this.#used = 0;
  }
}

function quarterRound(w: Uint32Array, a: number, b: number, c: number, d: number): void {
  mix(w, a, b, d, 16);
  mix(w, c, d, b, 12);
  mix(w, a, b, d, 8);
  mix(w, c, d, b, 7);
}

/** `sum += addend; target = rotate(target ^ sum)` */
function mix(w: Uint32Array, sum: number, addend: number, target: number, bits: number): void {
  const total = ((w[sum] as number) + (w[addend] as number)) | 0;
  const word = (w[target] as number) ^ total;
  w[sum] = total;
  w[target] = (word << bits) | (word >>> (32 - bits));
}
