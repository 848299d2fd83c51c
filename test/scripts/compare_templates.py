"""Prints the Tornado and Jinja2 columns of the table in docs/templates.md: pip install tornado jinja2."""
import jinja2
import tornado
import tornado.template


class Record(dict):
    __getattr__ = dict.__getitem__


TOPICS = [Record(name="a"), Record(name="b")]
HIDING = "{{ topic.name }}\n{% for topic in topics %}{{ topic.name }},{% end %}\n{{ topic.name }}"
SCENARIOS = {
    "T1": (HIDING, {"topic": Record(name="K"), "topics": TOPICS}),
    "T2": (HIDING, {"topic": Record(name="K"), "topics": []}),
    "T3": ("{% for topics in topics %}{{ topics }},{% end %}|{{ topics }}", {"topics": ["a", "b"]}),
    "T4": ('{% for x in [1,2] %}{{ x }}[{% for x in ["a","b"] %}{{ x }}{% end %}]{{ x }};{% end %}', {}),
    "T5": ("{% for t in topics %}{{ t }}{% end %}|{{ t }}", {"topics": ["a", "b"]}),
    "T6": ("line1\nline2\n{{ nope }}", {}),
    "T7": ("{% set n = 0 %}{% for i in [1,2,3] %}{% set n = n + i %}{{ n }},{% end %}{{ n }}", {}),
}


def with_tornado(text, context):
    return tornado.template.Template(text, name="t.html", whitespace="all").generate(**context).decode()


def with_jinja2(text, context):
    return jinja2.Template(text.replace("{% end %}", "{% endfor %}")).render(**context)


def told(render, text, context):
    try:
        return repr(render(text, context))
    except Exception as error:  # whatever an engine throws is its answer
        return f"{type(error).__name__}: {error}".split("\n")[0]


print("tornado", tornado.version, "jinja2", jinja2.__version__)
for name, (text, context) in SCENARIOS.items():
    print(name, "|", told(with_tornado, text, context), "|", told(with_jinja2, text, context))
