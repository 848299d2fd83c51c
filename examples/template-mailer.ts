/**
 * Renders mails from templates that a user wrote. What mails have in common, functions and a layout, lives in one session; what
 * one mail is about comes with it, and who it is for are its locals. A template is code, and may change what others in its
 * session see: so users who do not trust each other have a mailer each.
 *
 *     npx tsx examples/template-mailer.ts 127.0.0.1:50051
 */
import { argv } from "node:process";
import { pathToFileURL } from "node:url";
import { GuestError, Livescope, type Session } from "@livescope/sdk";

/** What every template may use. `locals` is the mail's own: functions see it without being given it. */
const COMMON = `
  const money = (n) => n.toFixed(2) + " " + locals.recipient.currency;
  const unsubscribeLink = () => "https://example.com/unsubscribe?who=" + encodeURIComponent(locals.recipient.address);
`;
const LAYOUT = `<html><body>
{% block body %}{% end %}
<a href="{{ unsubscribeLink() }}">no more of this</a>
</body></html>`;

export interface Recipient {
  readonly address: string;
  readonly currency: string;
}

export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly html: string;
}

/** A template cannot be rendered. The message is for who wrote it. */
export class TemplateError extends Error {
  override readonly name = "TemplateError";
  /** Counts from 1; undefined if the error has no place in a template. */
  readonly line: number | undefined;

  constructor(message: string, line: number | undefined, options: ErrorOptions) {
    super(message, options);
    this.line = line;
  }
}

export class Mailer implements AsyncDisposable {
  readonly #session: Session;

  static async open(client: Livescope): Promise<Mailer> {
    const session = await client.createSession({ setup: COMMON, limits: { timeout: 5_000 } });
    await session.templates({ layout: LAYOUT });
    return new Mailer(session);
  }

  private constructor(session: Session) {
    this.#session = session;
  }

  /**
   * Takes a template, once it has rendered a mail with these values. If it cannot, the one it was to replace stays.
   * @param subject text; @param body HTML, in which `{{ }}` escapes
   * @throws {TemplateError} if it does not parse, or fails with these values
   */
  async add(name: string, subject: string, body: string, sample: Readonly<Record<string, unknown>>): Promise<void> {
    const recipient = { address: "somebody@example.com", currency: "EUR" };
    // Included and not put in: it cannot end the block that it stands in, and its lines count from its own first one.
    const page = `{% extends layout %}{% block body %}{% include "${name}.html" %}{% end %}`;
    const locals = { recipient };
    await explain(() =>
      // What it added is undone if one of the two fails.
      this.#session.atomic(async (tx) => {
        await tx.templates({ [`${name}.txt`]: subject, [`${name}.html`]: body, [`${name}.page`]: page });
        await tx.render({ name: `${name}.txt` }, sample, { locals });
        await tx.render({ name: `${name}.page` }, sample, { locals });
      }),
    );
  }

  /** @throws {TemplateError} if the template fails with these values */
  async render(name: string, recipient: Recipient, context: Readonly<Record<string, unknown>>): Promise<Mail> {
    const locals = { recipient };
    return explain(async () => {
      const [subject, html] = await Promise.all([
        this.#session.render({ name: `${name}.txt` }, context, { locals, autoescape: false }),
        this.#session.render({ name: `${name}.page` }, context, { locals }),
      ]);
      // A line break in a header would begin another header.
      return { to: recipient.address, subject: subject.replace(/\s+/g, " ").trim(), html };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session.delete();
  }
}

async function explain<T>(render: () => Promise<T>): Promise<T> {
  try {
    return await render();
  } catch (error) {
    if (!(error instanceof GuestError)) throw error;
    const frame = error.frames.find(({ filename }) => /\.(txt|html)$/.test(filename));
    const place = frame ? `${frame.filename}:${frame.line}: ` : "";
    throw new TemplateError(`${place}${error.message}`, frame?.line, { cause: error });
  }
}

if (argv[1] !== undefined && import.meta.url === pathToFileURL(argv[1]).href) {
  await using client = await Livescope.connect(argv[2] ?? "127.0.0.1:50051");
  await using mailer = await Mailer.open(client);
  const order = { items: [{ title: "Tea & biscuits", price: 4.5 }] };
  await mailer.add(
    "order",
    "Your order of {{ items.length }}",
    "{% for { title, price } of items %}<p>{{ title }}: {{ money(price) }}</p>{% end %}",
    order,
  );
  console.log(await mailer.render("order", { address: "ann@example.com", currency: "CHF" }, order));
  await mailer.add("order", "Hi", "<p>\n{{ itmes.length }}</p>", order).catch((error) => console.log(error.message));
}
