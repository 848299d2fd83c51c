/** What takes long is for `.ci/run`, which says so by this variable; a part of it that stands for the rest runs always. */
export const isLong = process.env.LIVESCOPE_LONG !== undefined;
