/** The most milliseconds that a timer takes: with more it fires at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;
