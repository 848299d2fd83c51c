/** The same templates in the languages of other engines, each rendered by the engine itself, with its defaults. */
import { createRequire } from "node:module";

/** The part of each package that is used; two of them come without types for their modules. */
interface Nunjucks {
  configure(options: { autoescape: boolean }): { renderString(text: string, context: object): string };
}
interface Ejs {
  render(text: string, context: object): string;
}
interface LiquidModule {
  readonly Liquid: new () => { parseAndRender(text: string, context: object): Promise<string> };
}

const load = createRequire(import.meta.url);
const nunjucks = load("nunjucks") as Nunjucks;
const ejs = load("ejs") as Ejs;
const { Liquid } = load("liquidjs") as LiquidModule;

export const ENGINES: Readonly<Record<string, (text: string, context: object) => Promise<string> | string>> = {
  Nunjucks: (text, context) => nunjucks.configure({ autoescape: true }).renderString(text, context),
  EJS: (text, context) => ejs.render(text, context),
  LiquidJS: (text, context) => new Liquid().parseAndRender(text, context),
};

export interface Scenario {
  readonly context: object;
  readonly livescope: string;
  readonly Nunjucks: string;
  readonly EJS: string;
  readonly LiquidJS: string;
}

const LISTS = '{% assign one = "1,2" | split: "," %}{% assign two = "a,b" | split: "," %}';
const topics = [{ name: "a" }, { name: "b" }];
const hiding = {
  livescope: "{{ topic.name }}\n{% for topic of topics %}{{ topic.name }},{% end %}\n{{ topic.name }}",
  Nunjucks: "{{ topic.name }}\n{% for topic in topics %}{{ topic.name }},{% endfor %}\n{{ topic.name }}",
  EJS: "<%= topic.name %>\n<% for (const topic of topics) { %><%= topic.name %>,<% } %>\n<%= topic.name %>",
  LiquidJS: "{{ topic.name }}\n{% for topic in topics %}{{ topic.name }},{% endfor %}\n{{ topic.name }}",
};

export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  T1: { context: { topic: { name: "K" }, topics }, ...hiding },
  T2: { context: { topic: { name: "K" }, topics: [] }, ...hiding },
  T3: {
    context: { topics: ["a", "b"] },
    livescope: "{% for topics of topics %}{{ topics }},{% end %}|{{ topics }}",
    Nunjucks: "{% for topics in topics %}{{ topics }},{% endfor %}|{{ topics }}",
    EJS: "<% for (const topics of topics) { %><%= topics %>,<% } %>|<%= topics %>",
    LiquidJS: "{% for topics in topics %}{{ topics }},{% endfor %}|{{ topics }}",
  },
  T4: {
    context: {},
    livescope: '{% for x of [1,2] %}{{ x }}[{% for x of ["a","b"] %}{{ x }}{% end %}]{{ x }};{% end %}',
    Nunjucks: '{% for x in [1,2] %}{{ x }}[{% for x in ["a","b"] %}{{ x }}{% endfor %}]{{ x }};{% endfor %}',
    EJS: '<% for (const x of [1,2]) { %><%= x %>[<% for (const x of ["a","b"]) { %><%= x %><% } %>]<%= x %>;<% } %>',
    LiquidJS: `${LISTS}{% for x in one %}{{ x }}[{% for x in two %}{{ x }}{% endfor %}]{{ x }};{% endfor %}`,
  },
  T5: {
    context: { topics: ["a", "b"] },
    livescope: "{% for t of topics %}{{ t }}{% end %}|{{ t }}",
    Nunjucks: "{% for t in topics %}{{ t }}{% endfor %}|{{ t }}",
    EJS: "<% for (const t of topics) { %><%= t %><% } %>|<%= t %>",
    LiquidJS: "{% for t in topics %}{{ t }}{% endfor %}|{{ t }}",
  },
  T6: {
    context: {},
    livescope: "line1\nline2\n{{ nope }}",
    Nunjucks: "line1\nline2\n{{ nope }}",
    EJS: "line1\nline2\n<%= nope %>",
    LiquidJS: "line1\nline2\n{{ nope }}",
  },
  T7: {
    context: {},
    livescope: "{% set n = 0 %}{% for i of [1,2,3] %}{% set n = n + i %}{{ n }},{% end %}{{ n }}",
    Nunjucks: "{% set n = 0 %}{% for i in [1,2,3] %}{% set n = n + i %}{{ n }},{% endfor %}{{ n }}",
    EJS: "<% let n = 0 %><% for (const i of [1,2,3]) { %><% n = n + i %><%= n %>,<% } %><%= n %>",
    LiquidJS:
      '{% assign n = 0 %}{% assign l = "1,2,3" | split: "," %}' +
      "{% for i in l %}{% assign n = n | plus: i %}{{ n }},{% endfor %}{{ n }}",
  },
};
