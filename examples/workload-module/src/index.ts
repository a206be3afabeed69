export { default } from './write-then-read';
