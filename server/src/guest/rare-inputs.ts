/** What most sessions never need: a library. */
import { library } from "./libraries.js";

type RareInputs = typeof import("./library/rare-inputs.js");

export function rareInputs(): RareInputs {
  return library("rare-inputs") as unknown as RareInputs;
}
