/** Numbers that stand for values in place of an index. */
export const UNDEFINED = -1;
export const HOLE = -2;
export const NAN = -3;
export const INFINITE = -4;
export const NEGATIVE_INFINITE = -5;
export const NEGATIVE_ZERO = -6;
/** First element of an array that says which of its elements there are. */
export const SPARSE = -7;
