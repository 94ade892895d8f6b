// The API as /openapi.json describes it, in words and tables.

const described = await (await fetch("/openapi.json")).json();
const resolved = (schema) => (schema?.$ref ? described.components.schemas[schema.$ref.split("/").pop()] : schema);

function element(name, text = "", ...children) {
  const made = document.createElement(name);
  made.textContent = text;
  made.append(...children);
  return made;
}

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((value) => `"${value}"`).join(" or ");
  if (schema.const) return `"${schema.const}"`;
  if (schema.type === "array") return `list of ${kind(schema.items)}`;
  return schema.contentMediaType || schema.format === "binary" ? "file" : schema.type ?? "any";
}

function table(title, properties) {
  const rows = Object.entries(properties ?? {}).map(([name, schema]) => {
    const row = element("tr", "", element("td", name), element("td", kind(schema)), element("td", schema.description ?? ""));
    return row;
  });
  const heads = ["Name", "Kind", "What it is"].map((text) => Object.assign(element("th", text), { scope: "col" }));
  return element("table", "", element("caption", title), element("thead", "", element("tr", "", ...heads)), element("tbody", "", ...rows));
}

function call(method, path, form) {
  const address = location.origin + path.replace("{name}", "NAME");
  const fields = form ? Object.keys(form).map((name) => (name === "file" ? " -F file=@photo.jpg" : "")).join("") : "";
  return element("pre", `curl${fields} ${address}`);
}

for (const [path, operations] of Object.entries(described.paths)) {
  for (const [method, operation] of Object.entries(operations)) {
    const heading = element("h3");
    heading.append(element("span", method.toUpperCase()), path);
    const form = resolved(operation.requestBody?.content?.["multipart/form-data"]?.schema)?.properties;
    const answer = resolved(operation.responses["200"]?.content?.["application/json"]?.schema);
    const article = element("article", "", heading, element("p", operation.description ?? ""), call(method, path, form));
    if (form) article.append(table("Fields of the form", form));
    if (answer) article.append(table("Answer", answer.properties));
    for (const pre of article.querySelectorAll("pre")) pre.tabIndex = 0;
    document.getElementById("description").append(article);
  }
}
