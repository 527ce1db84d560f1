/**
 * As much of a document as Plot draws into: elements with attributes, styles and children, and their text as XML.
 *
 * @module
 */

const HTML = "http://www.w3.org/1999/xhtml";

/** Text as it may stand in HTML, in XML and in attributes. */
export function escaped(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replace(/[&<>"]/g, (character) => entities[character]);
}

/** A piece of text among the children of an element. */
class TextNode {
  readonly nodeType = 3;
  parentNode: Element | null = null;
  constructor(readonly ownerDocument: SvgDocument, public textContent: string) {}

  get outerHTML(): string {
    return escaped(this.textContent);
  }
}

/** An element. */
class Element {
  readonly nodeType = 1;
  readonly childNodes: (Element | TextNode)[] = [];
  readonly style: Style = new Style();
  readonly #attributes = new Map<string, string>();
  parentNode: Element | null = null;

  constructor(readonly ownerDocument: SvgDocument, readonly namespaceURI: string, readonly tagName: string) {}

  setAttribute(name: string, value: unknown): void {
    this.#attributes.set(name, String(value));
  }

  setAttributeNS(_: string | null, name: string, value: unknown): void {
    this.setAttribute(name, value);
  }

  getAttribute(name: string): string | null {
    return this.#attributes.get(name) ?? null;
  }

  hasAttribute(name: string): boolean {
    return this.#attributes.has(name);
  }

  removeAttribute(name: string): void {
    this.#attributes.delete(name);
  }

  get firstChild(): Element | TextNode | null {
    return this.childNodes[0] ?? null;
  }

  get children(): Element[] {
    return this.childNodes.filter((each) => each instanceof Element);
  }

  appendChild<N extends Element | TextNode>(child: N): N {
    return this.insertBefore(child, null);
  }

  append(...children: (Element | TextNode | string)[]): void {
    for (const child of children) this.appendChild(typeof child === "string" ? this.ownerDocument.createTextNode(child) : child);
  }

  insertBefore<N extends Element | TextNode>(child: N, before: Element | TextNode | null): N {
    child.parentNode?.removeChild(child);
    const at = before === null ? this.childNodes.length : this.childNodes.indexOf(before);
    this.childNodes.splice(at, 0, child);
    child.parentNode = this;
    return child;
  }

  removeChild<N extends Element | TextNode>(child: N): N {
    this.childNodes.splice(this.childNodes.indexOf(child), 1);
    child.parentNode = null;
    return child;
  }

  get textContent(): string {
    return this.childNodes.map(({ textContent }) => textContent).join("");
  }

  set textContent(text: string) {
    this.childNodes.splice(0);
    if (text !== "") this.append(text);
  }

  get outerHTML(): string {
    const style = this.style.cssText;
    const attributes = [...this.#attributes, ...(style === "" ? [] : [["style", style]])];
    const text = attributes.map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
    if (this.childNodes.length === 0) return `<${this.tagName}${text}/>`;
    return `<${this.tagName}${text}>${this.childNodes.map(({ outerHTML }) => outerHTML).join("")}</${this.tagName}>`;
  }
}

/** The styles of an element; properties may also be set by name, as in `style.fontSize = "12px"`. */
class Style {
  [name: string]: unknown;

  setProperty(name: string, value: string): void {
    this[name] = value;
  }

  get cssText(): string {
    const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return Object.entries(this).map(([name, value]) => `${kebab(name)}:${value}`).join(";");
  }
}

/** A document, as Plot's option of that name. */
export class SvgDocument {
  readonly documentElement: Element = new Element(this, HTML, "html");

  createElement(name: string): Element {
    return new Element(this, HTML, name);
  }

  createElementNS(namespace: string, name: string): Element {
    return new Element(this, namespace, name);
  }

  createTextNode(text: string): TextNode {
    return new TextNode(this, text);
  }
}
