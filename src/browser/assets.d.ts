/** A style sheet as text: the bundler puts it into the program. */
declare module '*.css?inline' {
  const text: string;
  export default text;
}
