/** Lists what each source file of a project imports, as the TypeScript compiler reads it. */
import { existsSync } from 'node:fs';
import { posix, relative, sep } from 'node:path';
import { type Node, type SourceFile, SyntaxKind } from 'typescript/unstable/ast';
import { isExportDeclaration, isImportDeclaration, isImportTypeNode } from 'typescript/unstable/ast/is';
import { API } from 'typescript/unstable/sync';

export interface Import {
  /** Counted from 1. */
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  /** For a relative specifier: the file it names, relative to the project's root. */
  readonly target: string | undefined;
  /** Leaves nothing behind at run time. */
  readonly typeOnly: boolean;
}

export interface SourceImports {
  /** Relative to the project's root, with `/` between folders. */
  readonly path: string;
  readonly imports: readonly Import[];
  /** Lines of `/// <reference ...>` directives, counted from 1. */
  readonly references: readonly number[];
}

/** Whether the statement or type around a module specifier is erased. */
function isTypeOnly(specifier: Node): boolean {
  for (let node: Node | undefined = specifier.parent; node !== undefined; node = node.parent) {
    if (isImportTypeNode(node)) return true;
    if (isImportDeclaration(node)) return node.importClause?.phaseModifier === SyntaxKind.TypeKeyword;
    if (isExportDeclaration(node)) return node.isTypeOnly;
  }
  return false;
}

function readFile(path: string, source: SourceFile): SourceImports {
  const lineOf = (position: number) => source.getLineAndCharacterOfPosition(position).line + 1;
  const specifiers = source.imports as readonly (Node & { readonly text: string })[];
  const directives = [source.referencedFiles, source.typeReferenceDirectives, source.libReferenceDirectives].flat();
  return {
    path,
    imports: specifiers.map((node) => ({
      line: lineOf(node.end),
      specifier: node.text,
      target: node.text.startsWith('.') ? posix.join(posix.dirname(path), node.text) : undefined,
      typeOnly: isTypeOnly(node),
    })),
    references: directives.map((directive) => lineOf(directive.pos)).sort((a, b) => a - b),
  };
}

/** What the compiler is told of the files: those of Node, and those of a page. */
const PROJECTS = ['tsconfig.json', 'tsconfig.browser.json'];

/** Reads all files of the project whose `tsconfig.json` stands in `root` (an absolute path). */
export function readSourceImports(root: string): SourceImports[] {
  const api = new API({ cwd: root });
  const configs = PROJECTS.map((name) => `${root}/${name}`).filter((config) => existsSync(config));
  const found = new Map<string, SourceImports>();
  try {
    for (const config of configs) {
      const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
      if (project === undefined) throw new Error(`${config} is not a project`);
      for (const file of project.rootFiles) {
        const source = project.program.getSourceFile(file);
        if (source === undefined) throw new Error(`${file} cannot be read`);
        const path = relative(root, file).replaceAll(sep, '/');
        found.set(path, readFile(path, source));
      }
    }
    return [...found.values()];
  } finally {
    api.close();
  }
}
