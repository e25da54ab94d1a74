/**
 * Handlers that were made one by one, made anew as one module by the thread that compiles regions. The engine gives every
 * module pages of its own for code and data, so that what is run seldom misses the caches and TLBs of the host at each
 * instruction; and modules that nothing leads to any more give theirs back.
 */
import type { Signature } from '../../ir/node.ts';
import type { Encoding } from '../../isa/encoding.ts';
import type { Helper } from '../../isa/helpers.ts';
import { InterpreterBuilder } from './builder.ts';
import { encodeModule } from './function-module.ts';
import type { OperandShape, Shape } from './shape.ts';

/** A shape as plain data: the number of its encoding, and constants as text. */
export type PlainShape = Omit<Shape, 'encoding' | 'operands'> & {
  readonly encoding: number;
  readonly operands: readonly (Omit<OperandShape, 'constant'> & { readonly constant?: string | undefined })[];
};

export interface HandlersRequest {
  /** What the table of handlers was when it was asked: `Handlers.generation`. */
  readonly generation: number;
  /** As for `InterpreterBuilder`. */
  readonly threshold: number;
  readonly handlers: readonly { readonly index: number; readonly shape: PlainShape }[];
}

export interface HandlersReply {
  readonly generation: number;
  /** How many there are. */
  readonly handlers: number;
  readonly module: WebAssembly.Module;
  /** Functions that it imports by name, besides memory and table. */
  readonly imports: readonly string[];
  /** What the module was made of. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export function plainShape({ encoding, operands, ...shape }: Shape): PlainShape {
  return {
    ...shape,
    encoding: encoding.id,
    operands: operands.map((operand) => ({ ...operand, constant: operand.constant?.toString() })),
  };
}

function shapeOfPlain({ encoding, operands, ...shape }: PlainShape, encodings: readonly Encoding[]): Shape {
  return {
    ...shape,
    encoding: encodings[encoding],
    operands: operands.map(({ constant, ...operand }) => ({
      ...operand,
      constant: constant === undefined ? undefined : BigInt(constant),
    })),
  };
}

export interface HandlerCompilerParts {
  /** All of them, by number. */
  readonly encodings: readonly Encoding[];
  signatureOf(helper: string): Signature;
  helperOf(name: string): Helper;
  createModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module;
}

/** Where handlers are made anew. */
export interface HandlerPort {
  post(request: HandlersRequest): void;
  /** The next reply, if there is one by now. */
  take(): HandlersReply | undefined;
}

/** Compiles the handlers of a request as one module. */
export function compileHandlers(request: HandlersRequest, parts: HandlerCompilerParts): HandlersReply {
  const { encodings, signatureOf, helperOf, createModule } = parts;
  const functions = request.handlers.map(({ index, shape }) => {
    const builder = new InterpreterBuilder(signatureOf, helperOf, shapeOfPlain(shape, encodings), request.threshold);
    builder.fill();
    return { index, builder };
  });
  const { bytes, imports } = encodeModule(functions, signatureOf);
  const { generation, handlers } = request;
  return { generation, handlers: handlers.length, module: createModule(bytes), imports, bytes };
}
