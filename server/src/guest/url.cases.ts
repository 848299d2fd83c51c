/** Of URL and URLSearchParams: expressions that must give in a session what they give in Node (see platform.cases.ts). */

/** Each of these with each base. */
const URLS = [
  ...["http://example.com", "HTTP://EXAMPLE.com:80/", "https://a:443/", "https://a:80/", "ftp://a:21/x", "ws://a:80"],
  ...["http://u:p@a.b:8080/c/d?e=f#g", "http://u@a", "http://:p@a", "http://@a", "http://u:@a", "http://a@b@c/"],
  "http://😀u:p😀é@a/",
  ...["http://a/b/../c", "http://a/./b/.", "http://a/b/%2e%2E/c", "http://a/../..", "http://a//b//..//c"],
  ...["http://a/ b?c d#e f", 'http://a/<>\\"`{}', 'http://a/?<>\\"\'#<>\\"`', "http://a/é?é#é", "http://a/%zz%41"],
  ...[
    "http://1.2.3.4",
    "http://1.2.3",
    "http://0x7f.1",
    "http://0300.1",
    "http://256",
    "http://4294967296",
    "http://1.2.3.4.5",
  ],
  ...["http://1.2.3.256", "http://1.2.3.4.", "http://09", "http://1e2", "http://[::1]", "http://[1:2:3:4:5:6:7:8]"],
  ...[
    "http://[1::0:0:8]",
    "http://[::1.2.3.4]",
    "http://[::1",
    "http://[:1]",
    "http://[1::2::3]",
    "http://[g]",
    "http://[::1]:9",
  ],
  ...[
    "http://a b",
    "http://a%20b",
    "http://a%41",
    "http://a<b",
    "http://",
    "http:///a",
    "http:a",
    "http:/a",
    "http:\\\\\\\\a\\\\b",
  ],
  ...[
    "http://a:",
    "http://a:0",
    "http://a:65535",
    "http://a:65536",
    "http://a:b",
    "http://a:-1",
    "http://a:080",
    "http://a:8 0",
  ],
  ...[
    "http://müller.de",
    "http://日本.jp",
    "http://xn--mller-kva.de",
    "http://MÜLLER.de",
    "http://faß.de",
    "http://a\\u3002b",
  ],
  ...[
    "http://xn--a",
    "http://\\u00ad",
    "http://a\\u00adb",
    "http://\\ufeffa",
    "http://ａ.b",
    "http://😀.x",
    "http://a\\u200db",
  ],
  ...[
    "file:///C:/a",
    "file:///C|/a",
    "file://h/C:/..",
    "file:c:\\\\x",
    "file:///../..",
    "file://localhost/x",
    "file:a",
  ],
  ...[
    "mailto:a@b",
    "data:text/plain,é x",
    "javascript:alert(1)",
    "about:blank",
    "blob:http://a/b",
    "blob:x",
    "urn:a:b#c",
  ],
  ...[
    "foo://a b/",
    "foo://A/b/../c",
    "foo:///x",
    "foo:/a/../b",
    "foo://a:80",
    "foo://[::1]/",
    "foo:a b ",
    "foo://é/é",
    "foo://",
  ],
  ...[
    "",
    "/",
    "x",
    "?x",
    "#x",
    "//h/p",
    "/p/q",
    "../x",
    "./",
    "..",
    ":",
    "::",
    "1:",
    "a1+-.:x",
    " \\t\\nx\\r ",
    "x\\ty",
    "\\\\x",
  ],
  ...[
    "?é=ü&a b",
    "//",
    "///x",
    "\\0http://a",
    "http://a\\0b",
    "ht\\ntp://a",
    "//u:p@h:1/x",
    "?#",
    "http://a?",
    "http://a#",
    "\\ud800",
  ],
];
const BASES = ["undefined", "'http://u:p@h.org:81/a/b?q#f'", "'file:///C:/x/y'", "'foo://h/p/q'"];
const PARTS = "href origin protocol username password host hostname port pathname search hash".split(" ");

const ofUrl = (url: string): string => `(({ ${PARTS.join(", ")} }) => [${PARTS.join(", ")}])(${url})`;

export const urls = URLS.map(
  (url) =>
    `[${BASES.map((base) => `(() => { try { return ${ofUrl(`new URL("${url}", ${base})`)} } catch (e) { return e.name } })()`)}]`,
);

const VALUES: Readonly<Record<string, readonly string[]>> = {
  href: ["http://x/y?z", "nope", ""],
  protocol: ["https", "https:", "ftp:x", "foo", "1", "", "file"],
  username: ["ann", "a:b@c", "é", ""],
  password: ["s3cret", "a:b@c/", ""],
  host: ["x", "x:9", "x:80", "x:", "x/y", "[::1]:5", "é", "", "a b", "x?y"],
  hostname: ["x", "x:9", "", "1.2", "a@b"],
  port: ["9", "80", "", "9x", "65536", " 9", "-1"],
  pathname: ["/x", "x", "", "/a/../b", "?x#y", "/é b", "\\\\x"],
  search: ["?x=y", "x=y", "", "?", "??", "é&'", "a#b"],
  hash: ["#x", "x", "", "#", "é `"],
};
const TARGETS = ["http://u:p@h:81/a?b=c#d", "file:///C:/a", "mailto:a@b", "foo://h/p"];

export const urlSetters = Object.entries(VALUES).flatMap(([part, values]) =>
  TARGETS.map(
    (target) =>
      `[${values.map((value) => JSON.stringify(value))}].map((value) => {
        const url = new URL('${target}');
        try { url.${part} = value } catch (error) { return error.name }
        return [url.href, [...url.searchParams]];
      })`,
  ),
);

export const urlExtras = [
  "[URL.canParse('x:y'), URL.canParse('x'), URL.canParse('x', 'http://a'), URL.canParse('x', 'y')]",
  "[URL.parse('http://a/b').href, URL.parse('b'), URL.parse('b', 'http://a').href]",
  "JSON.stringify({ url: new URL('http://a') })",
  "'' + new URL('http://a')",
  "new URL({ toString: () => 'http://a' }).href",
  "new URL('b', new URL('http://a/c')).href",
  "new URL()",
  "new URL('x').href",
  "(() => { try { new URL('x') } catch (error) { return [error.code, error.message] } })()",
  "(() => { const u = new URL('http://a/?x=1'); u.searchParams.append('y', 'é &'); return u.href })()",
  "(() => { const u = new URL('http://a/?x=1'); u.searchParams.delete('x'); return [u.href, u.search] })()",
  "(() => { const u = new URL('http://a/?x=1'); const p = u.searchParams; u.search = '?z=2'; return [...p] })()",
  "(() => { const u = new URL('http://a/?x=1'); const p = u.searchParams; u.href = 'http://b/?q'; return [p === u.searchParams, ...p] })()",
  "(() => { const u = new URL('http://a/?x=1'); u.searchParams.append({ toString() { u.search = '?z=2'; return 'y' } }, '3'); return u.href })()",
  "Object.getOwnPropertyDescriptor(URL.prototype, 'href').get.call({})",
];

export const searchParams = [
  "new URLSearchParams('?a=1&b=2&a=3').getAll('a')",
  "new URLSearchParams('a=1&b=2').size",
  "String(new URLSearchParams('a=b+c%20d&e=%zz&=x&y&&z='))",
  "[...new URLSearchParams('a=%C3%A9&b=%FF')]",
  "String(new URLSearchParams({ a: 1, b: 'x y', 'é': '~*-._' }))",
  "String(new URLSearchParams([['a', 1], ['a', 2]]))",
  "String(new URLSearchParams(new Map([['a', 'b']])))",
  "String(new URLSearchParams(new URLSearchParams('a=b')))",
  "new URLSearchParams([['a']])",
  "new URLSearchParams([1])",
  "String(new URLSearchParams(undefined))",
  "String(new URLSearchParams(12))",
  "(() => { const p = new URLSearchParams('b=1&a=2&c=3&a=1'); p.sort(); return String(p) })()",
  "(() => { const p = new URLSearchParams('a=1&b=2&a=3'); p.set('a', 9); p.set('n', 0); return String(p) })()",
  "(() => { const p = new URLSearchParams('a=1&a=2'); p.delete('a', '2'); return [String(p), p.has('a', '1'), p.has('a', 2)] })()",
  "[new URLSearchParams('a=1').get('a'), new URLSearchParams().get('a')]",
  "(() => { const seen = []; new URLSearchParams('a=1&b=2').forEach((...it) => seen.push(it.slice(0, 2))); return seen })()",
  "[[...new URLSearchParams('a=1').keys()], [...new URLSearchParams('a=1').values()], [...new URLSearchParams('a=1').entries()]]",
  "Object.prototype.toString.call(new URLSearchParams().keys())",
  "new URLSearchParams().keys().next()",
  "new URLSearchParams().append('a')",
  "String(new URLSearchParams('a=\\ud800'))",
  "URLSearchParams.prototype[Symbol.iterator] === URLSearchParams.prototype.entries",
];
