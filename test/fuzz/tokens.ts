/** Source text in pieces, for what cuts programs up and puts them together; it need not parse. */

const TOKEN =
  /\s+|[\p{ID_Start}_$][\p{ID_Continue}_$]*|\d[\w.]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|=>|\.\.\.|\*\*|&&|\|\||\?\?|[=!]==?|./gsu;

/** The tokens of a text, blanks among them: joined they are the text. */
export function tokensOf(text: string): string[] {
  return text.match(TOKEN) ?? [];
}

/** The same by statements, roughly: each ends where one of these may. */
export function statementsOf(text: string): string[] {
  return text.match(/[^;\n{}]*[;\n{}]|[^;\n{}]+/g) ?? [];
}
